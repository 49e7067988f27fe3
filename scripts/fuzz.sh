#!/usr/bin/env bash
# Try changed requests, answers, streams, schemas, credential files and configurations, for some time.
#
#   scripts/fuzz.sh [SECONDS] [TARGET...]      60 seconds for all targets; a target's name may be a part of it
#
# Fails if an input broke a promise. The input is then in tests/corpus, where every later test run tries it.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/test.sh environment >/dev/null
PYTHONPATH=.:tests exec .venv-test/bin/python -m support.fuzz "$@"
