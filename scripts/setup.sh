#!/usr/bin/env bash
# Builds the environment in $1 from requirements.lock. Needs Python 3.11 or newer; uv is fetched into the environment
# where it is not on PATH. Idempotent: make calls it again when the lock changes.
set -euo pipefail
venv=$1

say() { echo "setup: $*" >&2; }

# A Python that was named is the one that is meant: another in its place would be a surprise.
candidates=(${PYTHON3:+"$PYTHON3"})
[ ${#candidates[@]} -gt 0 ] || candidates=(python3 python3.13 python3.12 python3.11)
python=
for candidate in "${candidates[@]}"; do
    if command -v "$candidate" >/dev/null && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        python=$(command -v "$candidate")
        break
    fi
done
if [ -z "$python" ]; then
    say "no Python 3.11 or newer was found (looked for ${candidates[*]}); install one, or name it: make setup PYTHON3=/path/to/python"
    exit 1
fi

if command -v uv >/dev/null; then
    uv=$(command -v uv)
else
    # Not in the environment itself: syncing it to the lock would remove uv.
    uv=$venv/uv/bin/uv
    if [ ! -x "$uv" ]; then
        say "fetching uv (it is not on PATH)"
        rm -rf "$venv/uv"
        "$python" -m venv "$venv/uv" || { say "$python has no venv module; install it (Debian: apt install python3-venv) or install uv"; exit 1; }
        "$venv/uv/bin/python" -m pip install --quiet --disable-pip-version-check 'uv>=0.5' ||
            { say "uv could not be fetched: is there a network? (uv on PATH is used when it is there)"; exit 1; }
    fi
fi

if ! "$venv/bin/python" -c '' 2>/dev/null; then
    say "making $venv with $python"
    # Relocatable: its commands look for their Python beside them, so that the project's folder can be renamed.
    "$uv" venv --quiet --allow-existing --relocatable --python "$python" "$venv"
fi
say "installing $(grep -c '==' requirements.lock) pinned packages; a first time takes from half a minute to some minutes"
# Bytecode now: a process whose Python may write none (PYTHONDONTWRITEBYTECODE) would compile torch at every start, for seconds.
"$uv" pip sync --quiet --compile-bytecode --python "$venv/bin/python" --require-hashes requirements.lock
# A path instead of an installation, which would fetch a build system that no lock pins. From the environment upwards, so
# that it holds when the folder is renamed. An environment elsewhere may serve several checkouts and names none: their
# commands know where they lie, and whoever imports scs_study from another folder is told that there is none.
"$venv/bin/python" - <<'END'
import os, pathlib, sys, sysconfig

packages, project = pathlib.Path(sysconfig.get_path("purelib")), pathlib.Path.cwd()
path = packages / "scs_study.pth"
if pathlib.Path(sys.prefix).resolve().is_relative_to(project.resolve()):
    path.write_text(os.path.relpath(project.resolve(), packages.resolve()) + "\n")
else:
    path.unlink(missing_ok=True)
END
touch "$venv/.installed"
