"""What run folders say: collected rows, statistics, tables and figures. Nothing here trains or changes a run."""
