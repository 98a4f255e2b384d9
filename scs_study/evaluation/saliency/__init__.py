"""Saliency maps of finished runs, and what is measured on them."""
