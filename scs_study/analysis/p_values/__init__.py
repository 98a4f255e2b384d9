"""The exponents of the first layer over the epochs: read, measured, tabled; plots/p_values.py draws them."""
