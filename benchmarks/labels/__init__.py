"""How often corrected rates and coefficients of agreement hold the truth, by simulation."""
