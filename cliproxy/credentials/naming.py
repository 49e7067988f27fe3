"""Names of credential files.

The name is the credential's identity, so the same account gets the same name at each login.

Everything that goes into a name comes from a remote server or a person and may hold anything:
:func:`safe_part` keeps a name inside its directory, visible, and legal on every file system. The one
instance of GitLab that most people use goes without its host, every other one has it in the name, so that
one user name on two instances makes two files.
"""

import hashlib
import re
from typing import Final

SUFFIX: Final = ".json"
MAX_NAME: Final = 200
"""Longest file name; file systems take 255 bytes, and temporary names are longer than final ones."""
GITLAB_HOST: Final = "gitlab.com"

_BANNED: Final = re.compile(r'[\x00-\x20\x7f-\x9f<>:"/\\|?*\u200b-\u200f\u2028-\u202f\ufeff]+')
_ODD_FOR_GITLAB: Final = re.compile(r"[^a-z0-9_.-]+")
_MAX_PART: Final = 80
_FALLBACK: Final = "account"


def safe_part(text: str) -> str:
    """Return a text fit to be part of a file name: never empty, hidden, or a way out of the directory."""
    part = _BANNED.sub("-", text.encode("utf-8", "replace").decode()).strip("-. ")
    if len(part.encode()) > _MAX_PART:
        digest = hashlib.sha256(part.encode()).hexdigest()[:8]
        part = f"{part.encode()[: _MAX_PART - 9].decode(errors='ignore').rstrip('-. ')}-{digest}"
    return part or _FALLBACK


def is_plain_name(name: str) -> bool:
    """Tell whether a name from outside is a credential file's plain name: no path, not hidden, ``.json``."""
    return (
        name.lower().endswith(SUFFIX)
        and len(name) > len(SUFFIX)
        and len(name.encode("utf-8", "replace")) <= MAX_NAME
        and not name.startswith(".")
        and not _BANNED.search(name.replace(" ", ""))
        and name == name.strip()
    )


def file_name(*parts: str) -> str:
    """Join parts to a file name: ``file_name("claude", email)``. Empty parts are left out."""
    return "-".join(safe_part(part) for part in parts if part.strip()) + SUFFIX


def gitlab_file_name(base_url: str, user: str, *, is_pat: bool) -> str:
    """Name the file of a GitLab account: ``gitlab[-host][-path]-user[-pat].json``."""
    place = base_url.rpartition("://")[2].rpartition("@")[2].strip("/ ").lower()
    where = "" if place == GITLAB_HOST else _for_gitlab(place)
    return file_name("gitlab", where, _for_gitlab(user.lower()) or _FALLBACK, "pat" if is_pat else "")


def _for_gitlab(text: str) -> str:
    return _ODD_FOR_GITLAB.sub("-", text).strip("-.")
