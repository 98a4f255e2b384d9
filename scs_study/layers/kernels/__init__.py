"""Kernels written by hand, and the autograd functions around them."""
