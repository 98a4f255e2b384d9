"""Two sets of runs side by side: `make compare A=... B=...` (docs/report.md).

sides         which variant of A stands beside which of B: what differs throughout is compared, all else must agree
differences   A - B in each place, paired by seed where the initial weights are common
table         the comparisons as CSV, Markdown and text
"""
