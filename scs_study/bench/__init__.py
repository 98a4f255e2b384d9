"""What a training step and an evaluation step cost, as ratios measured in one process, in alternation."""
