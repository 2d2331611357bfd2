"""Before the first run starts: all runs are composed, built and checked once, and what they will take is counted."""
