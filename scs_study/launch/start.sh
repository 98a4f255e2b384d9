#!/bin/sh
# Runs the command it is given with SLURM's signals held back: sh start.sh PYTHON -u -m MODULE ...
#
# A task spends its first seconds importing. A warning that came then would end it (that is what SIGUSR2 does to a
# process that does not know it). Blocked, it waits until the pool has its handlers in place (training/stopping.py) and is
# answered like any other. Where env cannot block (coreutils before 8.31), the warning is ignored in those seconds: the
# task goes on, and what ends it afterwards costs an epoch.
trap '' USR1 USR2
if env --block-signal=TERM true 2>/dev/null; then
    exec env --block-signal=USR1 --block-signal=USR2 --block-signal=TERM "$@"
fi
exec "$@"
