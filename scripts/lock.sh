#!/usr/bin/env bash
# Resolves pyproject.toml, all extras, for every platform and Python 3.11+, into requirements.lock: versions and hashes,
# no index address.
set -euo pipefail
uv=$(command -v uv || echo "$1/uv/bin/uv")
"$uv" pip compile pyproject.toml --all-extras --universal --python-version 3.11 --generate-hashes \
    --no-header --no-annotate --no-emit-index-url --quiet --output-file requirements.lock "${@:2}"
echo "$(grep -c '==' requirements.lock) packages in requirements.lock"
