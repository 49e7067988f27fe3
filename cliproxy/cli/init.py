"""``init``: write a commented configuration with a client key of its own."""

import os
import secrets
import shlex
from pathlib import Path

from cliproxy.cli.exits import FAILURE, OK
from cliproxy.cli.flags import Arguments
from cliproxy.cli.output import complain, say
from cliproxy.config.example import starter_config
from cliproxy.stores.atomic import refused

KEY_BYTES = 32


def run(arguments: Arguments) -> int:
    """Write the file; never over an existing one unless told so."""
    path = Path(arguments.values.get("config") or "config.yaml")
    text = starter_config("sk-" + secrets.token_urlsafe(KEY_BYTES))
    flags = os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if "force" in arguments.switches else os.O_EXCL)
    try:
        with os.fdopen(os.open(path, flags, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as exc:
        complain(_explained(path, exc))
        return FAILURE
    named = f" -config {shlex.quote(str(path))}" if "config" in arguments.values else ""
    say(
        f"Wrote {path} with a new client key. "
        f"Next: `cliproxy login gitlab{named}`, then `cliproxy server{named}`."
    )
    return OK


def _explained(path: Path, exc: OSError) -> str:
    if path.is_dir():
        return f"{path} is a directory; name a file in it"
    if isinstance(exc, FileExistsError):
        return f"{path} exists already; `init -force` overwrites it, with a new key and without your settings"
    reason = str(refused("write", path, exc))
    if not path.parent.is_dir():
        return f"{reason}; make the directory {path.parent} first"
    return f"{reason}; `-config FILE` names another place"
