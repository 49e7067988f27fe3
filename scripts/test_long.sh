#!/usr/bin/env bash
# What takes too long for every change: properties with many more examples, the tests marked "soak" (processes that
# are killed in a renewal, an owner who never stops writing files, ten thousand clients that leave a silent upstream),
# and five minutes of requests of every kind.
#
#   scripts/test_long.sh [PYTEST ARGUMENT...]      at most an hour on two cores
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/test.sh environment
py=.venv-test/bin/python

echo "=== properties"
HYPOTHESIS_PROFILE=long "$py" -m pytest -q -o faulthandler_timeout=0 "$@" \
    tests/wire tests/ir tests/dialects tests/login tests/providers tests/routing tests/config tests/credentials

echo "=== soak"
"$py" -m pytest -q -s -m soak -o faulthandler_timeout=0 "$@" # -s: they tell what they have done

echo "=== what requests leave behind"
"$py" -m benchmarks soak --minutes 5
