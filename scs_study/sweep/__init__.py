"""Optuna over one fixed p for all layers of a network (paper C.2): its trials are runs like any other."""
