"""How often the intervals hold the truth and the tests cry wolf, by simulation: the gate of mmsb/metrics."""
