"""python -m mmsb.plan: what a set of questions can show, before they are asked and after."""
