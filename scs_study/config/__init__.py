"""What a run computes: typed values, their identity, and how config groups become them."""
