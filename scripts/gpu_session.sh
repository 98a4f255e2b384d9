#!/usr/bin/env bash
# The first hour on a rented GPU, from nothing but a checkout: the environment, checks, the bench, a campaign.
#   bash scripts/gpu_session.sh --time 50m --folder /outlives/this/machine [--study paper] [overrides of the study ...]
# What it does is written at the head of scripts/gpu_session.py.
set -euo pipefail
cd "$(dirname "$0")/.."

case " $* " in
    *" engine.device=cpu "* | *" --help "*) ;;
    *)
        if ! { [ -e /dev/nvidia0 ] || [ -e /dev/dxg ] || nvidia-smi -L >/dev/null 2>&1; }; then
            echo "error: there is no GPU on this machine, so nothing was begun (engine.device=cpu tries the session out)" >&2
            exit 2
        fi
        ;;
esac
[ -e .venv/.installed ] || bash scripts/setup.sh .venv
exec .venv/bin/python scripts/gpu_session.py "$@"
