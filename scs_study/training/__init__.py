"""One run: the loop, its schedule, its records and its checkpoints.

Nothing is imported here: what a run's folder holds (run_folder) is asked for where torch would take seconds to load.
"""
