"""A search by Optuna over settings."""
