"""Where runs are computed: in this process, a pool, threads, or a SLURM cluster."""
