"""Adversarial robustness (paper 4.5, 5.2.1): PGD curves, and what tells a robust network from one that hides."""
