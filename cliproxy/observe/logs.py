"""Log output of the process: one handler, one format, and a redactor that has the last look.

Lines read ``[time] [request id] [level] [module:line] message``. The redactor masks whatever looks like a key
or token, in case a library or an upstream's error text brings one along; our own code never logs one.

Clients choose model names and paths, and upstreams their errors. A message is therefore one line of bounded
length whatever is in it, control characters are written as escapes, and the lines of a traceback are
indented: nothing from outside can look like an entry of its own, or speak to a terminal.
"""

import logging
import re
import sys
from contextvars import ContextVar
from typing import Final, TextIO

from cliproxy.wire.secret import MASK

request_id: ContextVar[str] = ContextVar("request_id", default="")
"""Short id of the request a task works for."""

NO_REQUEST: Final = "--------"
LONGEST: Final = 8 * 1024
"""Characters of a message."""
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_LEVELS: Final = {logging.WARNING: "warn"}
_TOKENS: Final = re.compile(
    r"""(?x)
    \b(
        (?:sk|pk|rk)-[A-Za-z0-9_\-]{12,}
      | glpat-[A-Za-z0-9_\-.]{10,} | gloas-[A-Za-z0-9_\-.]{10,} | glrt-[A-Za-z0-9_\-.]{10,}
      | AIza[A-Za-z0-9_\-]{20,}
      | ya29\.[A-Za-z0-9_\-.]{10,}
      | gh[opsu]_[A-Za-z0-9]{20,}
      | eyJ[A-Za-z0-9_\-]{10,}\.[A-Za-z0-9_\-]{10,}\.[A-Za-z0-9_\-]*
    )
    | (?<=[Bb]earer\ )[A-Za-z0-9_\-.=+/]{8,}
    """
)


def redacted(text: str) -> str:
    """Mask everything that looks like a secret."""
    return _TOKENS.sub(MASK, text)


def one_line(text: str) -> str:
    """Return a text as a piece of a single line."""
    shown = _CONTROL.sub(lambda match: ascii(match[0])[1:-1], text)
    return shown if len(shown) <= LONGEST else f"{shown[:LONGEST]}… ({len(shown)} characters)"


class LineFormatter(logging.Formatter):
    """The line shape, redacted."""

    def format(self, record: logging.LogRecord) -> str:
        """Render a record."""
        level = _LEVELS.get(record.levelno, record.levelname.lower())
        when = self.formatTime(record, "%Y-%m-%d %H:%M:%S")
        message = one_line(record.getMessage())
        if record.exc_info:
            lines = self.formatException(record.exc_info).splitlines()
            message = "\n  ".join([message, *(one_line(line) for line in lines)])
        source = f"{record.module}:{record.lineno}"
        return redacted(f"[{when}] [{request_id.get() or NO_REQUEST}] [{level:<5}] [{source}] {message}")


def configure(*, debug: bool, stream: TextIO | None = None, level: int = logging.INFO) -> None:
    """Send the program's log to a stream, standard error by default; ``debug`` overrides the level."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(LineFormatter())
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level)
    set_debug(debug=debug, level=level)
    for noisy in ("httpx2", "httpcore2", "hypercorn.access"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def set_debug(*, debug: bool, level: int = logging.INFO) -> None:
    """Say everything, or what the level lets through."""
    logging.getLogger("cliproxy").setLevel(logging.DEBUG if debug else level)
