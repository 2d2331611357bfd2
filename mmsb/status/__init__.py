"""Which runs go on, which are left, what failed."""
