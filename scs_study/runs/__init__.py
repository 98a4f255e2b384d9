"""One run's folder: its state, lock, provenance, and the run itself."""
