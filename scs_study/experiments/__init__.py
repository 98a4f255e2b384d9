"""Sets of runs: a study's grid, its cost, and sweeps over settings."""
