"""Prepare a directory of installed packages for the executable.

    pyz_stage.py DIRECTORY

Removes what an installation leaves behind that depends on the machine (records, paths, scripts with a path in
their first line) and what a program never imports (tests, stubs). Writes ``cliproxy/build.json`` with the
facts of this build, taken from ``CLIPROXY_BUILD_COMMIT`` and ``SOURCE_DATE_EPOCH``.
"""

import json
import os
import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path

INSTALLER_NOTES = {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"}
UNUSED_DIRECTORIES = {"tests", "_tests", "__pycache__", "sansio_tests"}
UNUSED_SUFFIXES = {".pyi", ".pyc", ".pyx", ".pxd", ".c", ".h"}


def main(stage: Path) -> None:
    """Bring ``stage`` into its final form."""
    shutil.rmtree(stage / "bin", ignore_errors=True)
    for directory in [path for path in stage.rglob("*") if path.is_dir() and path.name in UNUSED_DIRECTORIES]:
        shutil.rmtree(directory, ignore_errors=True)
    for file in [path for path in stage.rglob("*") if path.is_file()]:
        if file.suffix in UNUSED_SUFFIXES or (
            file.name in INSTALLER_NOTES and file.parent.suffix == ".dist-info"
        ):
            file.unlink()
    write_build_facts(stage / "cliproxy" / "build.json")


def write_build_facts(path: Path) -> None:
    """Write the commit and the time that ``--version`` shows."""
    moment = datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), UTC)
    facts = {
        "commit": os.environ.get("CLIPROXY_BUILD_COMMIT") or "none",
        "built_at": moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    path.write_text(json.dumps(facts, indent=2, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
