"""Saliency maps of any classifier and what can be measured of them (paper 4.4, 5.2, appendices B.2 and D.2)."""
