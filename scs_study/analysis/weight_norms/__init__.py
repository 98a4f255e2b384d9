"""Weight norms after every mini-batch: read, measured, tabled; plots/weight_norms.py draws them."""
