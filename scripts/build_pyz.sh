#!/usr/bin/env bash
# Build the executable: one file that needs nothing but Python 3.11 or newer on the machine it runs on.
#
#   scripts/build_pyz.sh [OUTPUT]        default: ./cliproxy.pyz
#
# Needs python3 with venv, and a package index for the first build; what was fetched is kept in .build/. Every
# package is pinned with hashes in requirements/. The same commit gives the same bytes (for one Python minor version
# and kind of machine): the SHA-256 is printed, and sbom.cdx.json inside the file lists what it contains. PYTHON names
# another interpreter, SOURCE_DATE_EPOCH another time of build than the commit's.
set -euo pipefail
output=$(realpath -m "${1:-$(dirname "$0")/../cliproxy.pyz}")
cd "$(dirname "$0")/.."

export PYTHONHASHSEED=0 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1
unset PYTHONPATH PYTHONHOME PIP_TARGET PIP_USER PIP_PREFIX
umask 022

commit='' moment=315532800 # a source archive without repository: the first moment that a zip file can express
if [ -e .git ]; then
    commit=$(git rev-parse --short=12 HEAD)
    moment=$(git log -1 --format=%ct)
    if [ -n "$(git status --porcelain -- cliproxy pyproject.toml requirements scripts)" ]; then
        commit=$commit-modified
    fi
fi 2>/dev/null || true
export CLIPROXY_BUILD_COMMIT=${CLIPROXY_BUILD_COMMIT:-$commit} SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$moment}

mkdir -p .build
exec 9>.build/lock
flock 9

python=${PYTHON:-python3}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
interpreter=$("$python" -c 'import sys, sysconfig; print(sysconfig.get_platform(), *sys.version_info[:3], sep="-")')

# keyed PREFIX FILE: a directory of .build that is valid for this interpreter and this content of FILE only.
keyed() {
    echo ".build/$1-$interpreter-$(sha256sum "$2" | cut -c1-16)"
}

tools=$(keyed tools requirements/build.txt)
if [ ! -e "$tools/complete" ]; then
    echo "build: preparing the build tools"
    rm -rf ".build/tools-$interpreter-"*
    if ! "$python" -m venv "$tools"; then
        echo "build: $python cannot make a virtual environment (on Debian: apt-get install python3-venv)" >&2
        exit 1
    fi
    "$tools/bin/python" -m pip install --quiet --require-hashes --only-binary :all: -r requirements/build.txt
    touch "$tools/complete"
fi
tool_python=$PWD/$tools/bin/python

dependencies=$(keyed dependencies requirements/runtime.txt)
if [ ! -e "$dependencies.complete" ]; then
    echo "build: fetching the dependencies"
    rm -rf ".build/dependencies-$interpreter-"*
    "$tool_python" -m pip install --quiet --require-hashes --only-binary :all: --no-compile \
        --target "$dependencies" -r requirements/runtime.txt
    touch "$dependencies.complete"
fi

echo "build: packing"
stage=.build/stage
rm -rf "$stage" .build/shiv.pyz
"$tool_python" -m pip install --quiet --no-deps --no-index --no-build-isolation --no-compile --no-cache-dir \
    --target "$stage" .
cp -R "$dependencies/." "$stage/"
if [ -n "${CLIPROXY_OAUTH_CLIENTS:-}" ]; then # client ids and secrets for logins; see docs/accounts/index.md
    cp -- "$CLIPROXY_OAUTH_CLIENTS" "$stage/cliproxy/oauth_clients.json"
fi
"$tool_python" scripts/pyz_stage.py "$stage"
"$tool_python" -m shiv --site-packages "$stage" --entry-point cliproxy.__main__:main --compile-pyc --reproducible \
    --output-file .build/shiv.pyz
"$tool_python" scripts/pyz_finish.py .build/shiv.pyz scripts/pyz_launcher.py "$output"
