"""What a sweep found: its rows, threshold, tables and figures."""
