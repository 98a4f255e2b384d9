"""Networks between frameworks: a chain of steps in numpy, which torch, JAX and Keras each read and build."""
