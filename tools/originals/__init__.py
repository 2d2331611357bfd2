"""Recordings of the systems' original code on small random weights; see README.md."""
