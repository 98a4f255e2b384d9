"""What computes on finished runs, in parts that are cached and resumed."""
