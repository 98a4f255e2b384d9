"""SCS Study: replicates "Exploring the Sharpened Cosine Similarity" and checks its claims."""

import os

# Waiting OpenMP threads spin by default. Where two processes share the cores, each then burns the time the other one
# needs, and a training step of 0.1 s takes more than 8 s (measured). Must be set before torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
