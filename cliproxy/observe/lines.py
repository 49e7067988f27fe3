"""What a line of the log looks like: for people, or for programs.

For people a line reads ``[time] [request id] [level] [module:line] message``, a shape existing viewers filter
by. For programs it is one JSON object, with the same facts under names.

A message may be :class:`Facts` instead of text: something that happened, with values by name. People read it
as ``event name=value …``; in JSON the names are members, so that nobody has to take a message apart.

Clients choose model names and paths, and upstreams their errors. A message is therefore one line of bounded
length whatever is in it, control characters are written as escapes, and the lines of a traceback are
indented: nothing from outside can look like an entry of its own, or speak to a terminal. The redactor goes
over every text, before JSON can hide the beginning of a word behind an escape.
"""

import logging
import re
import time
from collections.abc import Mapping
from typing import Final

from attrs import field, frozen

from cliproxy.observe.logs import NO_REQUEST, one_line, redacted, request_id
from cliproxy.wire.jsontext import JsonValue, dumps_text

_LEVELS: Final = {logging.WARNING: "warn"}
_ODD: Final = re.compile(r'[\s"=]|^$')


@frozen
class Facts:
    """Something that happened, as a message of the log."""

    event: str
    values: Mapping[str, JsonValue] = field(factory=dict)
    text: str = ""
    """How people read it, where that is not ``event name=value …``."""

    def __str__(self) -> str:
        return self.text or f"{self.event} " + " ".join(
            f"{name}={_shown(value)}" for name, value in self.values.items()
        )


def _shown(value: JsonValue) -> str:
    """Render a value so that it is seen where it ends."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "1" if value else "0"
    text = str(value)
    if isinstance(value, int | float):
        return text
    # Masked first: an escape in front of a secret would hide where it begins.
    return dumps_text(redacted(text)) if _ODD.search(text) else text


def level_of(record: logging.LogRecord) -> str:
    """Return the name of a record's level."""
    return _LEVELS.get(record.levelno, record.levelname.lower())


class _Formatter(logging.Formatter):
    def _trace(self, record: logging.LogRecord) -> list[str]:
        """Return the lines of a record's traceback."""
        assert record.exc_info is not None
        lines = redacted(self.formatException(record.exc_info)).splitlines()
        return [one_line(line) for line in lines]


class LineFormatter(_Formatter):
    """A line for people."""

    _second = -1
    _shown_second = ""

    def format(self, record: logging.LogRecord) -> str:
        """Render a record."""
        if (second := int(record.created)) != self._second:
            self._second, self._shown_second = second, self.formatTime(record, "%Y-%m-%d %H:%M:%S")
        when = self._shown_second
        message = _clean(record.getMessage())
        if record.exc_info:
            message = "\n  ".join([message, *self._trace(record)])
        source = f"{record.module}:{record.lineno}"
        shown_id = request_id.get() or NO_REQUEST
        return f"[{when}] [{shown_id}] [{level_of(record):<5}] [{source}] {message}"


class JsonFormatter(_Formatter):
    """A line for programs."""

    def format(self, record: logging.LogRecord) -> str:
        """Render a record."""
        line: dict[str, JsonValue] = {
            "time": _rfc3339(record.created),
            "level": level_of(record),
            "id": request_id.get() or None,
            "source": f"{record.module}:{record.lineno}",
        }
        if isinstance(record.msg, Facts):
            line["event"] = record.msg.event
            line |= {n: _clean(v) if isinstance(v, str) else v for n, v in record.msg.values.items()}
        else:
            line["message"] = _clean(record.getMessage())
        if record.exc_info:
            line["trace"] = [*self._trace(record)]
        return dumps_text(line)


def _clean(text: str) -> str:
    return one_line(redacted(text))


def _rfc3339(seconds: float) -> str:
    milliseconds = int(seconds * 1000) % 1000
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{milliseconds:03}Z"


FORMATTERS: Final[Mapping[str, type[logging.Formatter]]] = {"text": LineFormatter, "json": JsonFormatter}
"""By the word of the configuration."""
