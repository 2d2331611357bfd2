"""python -m mmsb.compare: finished runs against each other, question by question."""
