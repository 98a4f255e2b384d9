"""What a step and an epoch cost."""
