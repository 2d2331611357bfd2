"""The proof: attacks on the real command, and what is left of its promises. `make proof` runs all of it."""
