#!/usr/bin/env bash
# Check everything that a change must pass, in order, and stop at the first failure.
#
#   scripts/test.sh                all steps
#   scripts/test.sh lint types     these steps only
#
# Needs python3 (3.11 or newer) with venv, and a package index the first time. The environment is .venv-test, made from
# requirements/test.txt and made anew when that file or the interpreter changes. PYTHON names another interpreter.
set -euo pipefail
cd "$(dirname "$0")/.."

export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1
unset PYTHONPATH PYTHONHOME PIP_TARGET PIP_USER PIP_PREFIX

steps=(environment format lint async types tests coverage changes executable)
venv=.venv-test
py=$venv/bin/python
mkdir -p .build

# What each step does; a step's name is its function's without "step_".

step_environment() {
    local python=${PYTHON:-python3} wanted
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
    wanted=$("$python" -VV; sha256sum requirements/test.txt)
    if [ "$(cat "$venv/made-from" 2>/dev/null)" = "$wanted" ]; then
        echo "$venv is up to date"
        return
    fi
    rm -rf "$venv"
    if ! "$python" -m venv "$venv"; then
        echo "$python cannot make a virtual environment (on Debian: apt-get install python3-venv)" >&2
        return 1
    fi
    "$py" -m pip install --quiet --require-hashes --only-binary :all: -r requirements/test.txt
    echo "$wanted" >"$venv/made-from"
}

step_format() { "$py" -m ruff format --check --quiet . || { "$py" -m ruff format --check . || true; return 1; }; }

step_lint() { "$py" -m ruff check .; }

step_async() { "$py" scripts/async_rules.py; }

step_types() { "$py" -m mypy; }

step_tests() { # the architecture test is one of them
    # A process for each core. A module's tests stay together, in their order, and share what is started for them. A
    # process that dies ends the run.
    run_pytest --numprocesses auto --maxprocesses 4 --dist loadfile --max-worker-restart 0 \
        --cov --cov-report=json:.build/coverage.json --durations=10
}

step_coverage() { "$py" scripts/coverage_floor.py .build/coverage.json; }

step_changes() { "$py" scripts/collect_changes.py --check; }

step_executable() {
    scripts/build_pyz.sh
    CLIPROXY_TEST_PYZ=cliproxy.pyz run_pytest -m packaging -o faulthandler_timeout=300 tests/e2e/test_pyz.py
}

run_pytest() {
    "$py" -m pytest -q "$@" | tee .build/pytest.log
    passed=$((passed + $(counted passed)))
    skipped=$((skipped + $(counted skipped)))
}

counted() { tail -n 1 .build/pytest.log | grep -oE "[0-9]+ $1" | cut -d' ' -f1 || echo 0; }

passed=0 skipped=0 current=none
trap '[ $? -eq 0 ] || echo "FAILED: $current"' EXIT
for current in "${@:-${steps[@]}}"; do
    declare -F "step_$current" >/dev/null || { echo "no such step: $current (there are: ${steps[*]})"; exit 2; }
    echo "=== $current"
    started=$SECONDS
    "step_$current"
    echo "    $current: ok, $((SECONDS - started)) s"
done
if [ "$passed" -gt 0 ]; then
    echo "total: $passed passed, 0 failed, $skipped skipped"
fi
