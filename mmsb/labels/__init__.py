"""Labels that people gave to answers: the file, the draw from a run, and what they make of its rates."""
