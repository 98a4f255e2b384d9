"""The fidelity analysis: table, curves, sheets and animations of what generators draw."""
