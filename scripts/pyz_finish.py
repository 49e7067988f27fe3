"""Turn the archive that shiv made into the released one: same content, one canonical form, our launcher.

    pyz_finish.py ARCHIVE LAUNCHER OUTPUT

shiv's archive carries the permissions of the files it found and its own start-up code. Here every entry gets
the same time (``SOURCE_DATE_EPOCH``), one of two permissions, and its place by name, so that two builds of
the same source are the same bytes whoever made them. ``__main__.py`` becomes the launcher with the build's
identity filled in.
"""

import email
import email.message
import hashlib
import json
import os
import re
import sys
import time
import zipfile
from fnmatch import fnmatch
from pathlib import Path

SHEBANG = b"#!/usr/bin/env python3\n"
EARLIEST_ZIP_TIME_S = 315532800
"""1980-01-01, the first moment that a zip file can express."""
REGULAR_FILE = 0o100000
COMPRESSION_LEVEL = 9
PROGRAM = "cliproxy"
BILL_OF_MATERIALS = "sbom.cdx.json"


def main(archive: Path, launcher: Path, output: Path) -> None:
    """Rewrite ``archive`` as ``output``."""
    content = read_archive(archive)
    build_id = json.loads(content["environment.json"])["build_id"]
    content[BILL_OF_MATERIALS] = bill_of_materials(content)
    content["__main__.py"] = with_build_id(launcher.read_text(encoding="utf-8"), build_id)
    part = output.with_suffix(".part")
    write_archive(part, content)
    part.chmod(0o755)
    part.replace(output)
    digest = hashlib.sha256(output.read_bytes()).hexdigest()
    print(f"{digest}  {output.name}  ({len(content)} files, {output.stat().st_size // 1024} KiB)")


def read_archive(path: Path) -> dict[str, bytes]:
    """Return the content by entry name; refuse what the launcher would silently not honour."""
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    path_files = [name for name in content if name.endswith(".pth")]
    if path_files:
        sys.exit(f"the launcher does not run .pth files, but the archive has {path_files}")
    return content


def with_build_id(source: str, build_id: str) -> bytes:
    """Return the launcher with its one placeholder replaced."""
    before, placeholder, after = source.partition("@BUILD_ID@")
    if not placeholder or "@BUILD_ID@" in after:
        sys.exit("the launcher must name its build id exactly once")
    return (before + build_id + after).encode()


def bill_of_materials(content: dict[str, bytes]) -> bytes:
    """Return the list of the packages inside, as a CycloneDX document."""
    packages = [
        email.message_from_bytes(data)
        for name, data in sorted(content.items())
        if fnmatch(name, "site-packages/*.dist-info/METADATA")
    ]
    components = [component(package) for package in packages]
    bill = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": next(own for own in components if own["name"] == PROGRAM)},
        "components": [other for other in components if other["name"] != PROGRAM],
    }
    return json.dumps(bill, indent=1).encode()


def component(package: email.message.Message) -> dict[str, object]:
    """Describe one package by its own metadata."""
    name, version = re.sub(r"[-_.]+", "-", package["Name"]).lower(), package["Version"]
    licence = package["License-Expression"]
    return {
        "type": "application" if name == PROGRAM else "library",
        "name": name,
        "version": version,
        "purl": f"pkg:pypi/{name}@{version}",
        **({"licenses": [{"expression": licence}]} if licence else {}),
    }


def write_archive(path: Path, content: dict[str, bytes]) -> None:
    """Write the entries in the order of their names, with nothing in them that depends on the machine."""
    moment = max(int(os.environ.get("SOURCE_DATE_EPOCH", "0")), EARLIEST_ZIP_TIME_S)
    with path.open("wb") as file:
        file.write(SHEBANG)
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=COMPRESSION_LEVEL) as archive:
            for name in sorted(content):
                entry = zipfile.ZipInfo(name, time.gmtime(moment)[:6])
                entry.compress_type = zipfile.ZIP_DEFLATED
                entry.create_system = 3
                permissions = 0o755 if ".so" in Path(name).suffixes else 0o644
                entry.external_attr = (REGULAR_FILE | permissions) << 16
                archive.writestr(entry, content[name])


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:]))
