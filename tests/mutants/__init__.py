"""Mutants: changes that would break a promise, each of which a test must notice. `make mutants` tries them all."""
