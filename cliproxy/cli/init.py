"""``init``: write a commented configuration with a client key of its own."""

import os
import secrets
import sys
from pathlib import Path

from cliproxy.cli.exits import FAILURE, OK
from cliproxy.cli.flags import Arguments
from cliproxy.config.example import starter_config

KEY_BYTES = 32


def run(arguments: Arguments) -> int:
    """Write the file; never over an existing one unless told so."""
    path = Path(arguments.values.get("config") or "config.yaml")
    text = starter_config("sk-" + secrets.token_urlsafe(KEY_BYTES))
    flags = os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if "force" in arguments.switches else os.O_EXCL)
    try:
        with os.fdopen(os.open(path, flags, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        print(f"cliproxy: {path} exists already; `init -force` overwrites it", file=sys.stderr)
        return FAILURE
    except OSError as exc:
        print(f"cliproxy: cannot write {path}: {exc.strerror}", file=sys.stderr)
        return FAILURE
    print(f"Wrote {path} with a new client key. Next: `cliproxy login gitlab`, then `cliproxy server`.")
    return OK
