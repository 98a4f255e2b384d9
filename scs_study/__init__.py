"""SCS Study: replicates "Exploring the Sharpened Cosine Similarity" and checks its claims."""

import os

# How long an OpenMP thread that waits for the others spins before it sleeps. By default so long that where two
# processes share the cores each burns the time the other one needs: a training step of 0.1 s takes more than 8 s
# (measured). Not spinning at all makes a step of two threads 1.6 times as long as it need be, since waking up is slow.
# Two thousand turns, some microseconds, cost little in both cases. GNU's OpenMP, which is in torch's packages for
# Linux, knows a number of turns; others know only the two extremes. One thread, as every run has unless engine.threads
# says otherwise, never waits. Must be set before torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "2000")
