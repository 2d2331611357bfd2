"""Review: a run's answers drawn by chance and labelled by people."""
