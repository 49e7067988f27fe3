#!/usr/bin/env bash
# Write the pinned, hashed dependency sets in requirements/ from pyproject.toml and requirements/build.in.
#
#   scripts/lock.sh            keep the pinned versions where they still satisfy the bounds
#   scripts/lock.sh --upgrade  move every pin to its newest version
#
# Run it with the oldest supported Python: its set is a superset of what newer ones need (requirements/constraints.in
# holds the exceptions). The files hold hashes of every wheel of each version, so one file serves all supported
# Python versions and machines.
set -euo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-.venv/bin/python}

lock() { # lock OUTPUT PURPOSE ARGUMENT...
    local output=requirements/$1 purpose=$2
    shift 2
    echo "== $output"
    # The tool reads the pins it should keep from the file that it is about to write.
    CUSTOM_COMPILE_COMMAND=scripts/lock.sh "$python" -m piptools compile --quiet --generate-hashes --allow-unsafe \
        --strip-extras --no-header --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-emit-options \
        --resolver backtracking --constraint requirements/constraints.in --output-file "$output" "$@"
    { printf '# %s Written by scripts/lock.sh; do not edit.\n' "$purpose"; cat "$output"; } >"$output.tmp"
    mv "$output.tmp" "$output"
}

lock runtime.txt 'What the executable contains.' "$@" pyproject.toml
lock test.txt 'What scripts/test.sh installs.' --extra dev --extra orjson "$@" pyproject.toml
lock build.txt 'What scripts/build_pyz.sh builds with.' "$@" requirements/build.in
