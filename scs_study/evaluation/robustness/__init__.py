"""Adversarial attacks on finished runs."""
