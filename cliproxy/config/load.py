"""From the text of a configuration file to the configuration, with everything that is to be said about the
text.

The steps, each a pure function of its own module: YAML to nodes (:mod:`.nodes`), old keys to present ones
(:mod:`.legacy`), nodes to classes (:mod:`.read`), values to their normal form (:mod:`.clean`). A text that is
not YAML stops at once; everything else is collected, so that one run reports all that is wrong, with its
lines.
"""

import codecs
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final

from attrs import frozen

from cliproxy.config.clean import clean
from cliproxy.config.legacy import migrate
from cliproxy.config.model import Config, inactive_keys
from cliproxy.config.nodes import YamlError, parse
from cliproxy.config.read import read_config
from cliproxy.errors import ConfigError, Problem

DEFAULT_SOURCE: Final = "config.yaml"


@frozen(kw_only=True)
class Loaded:
    """A configuration and what its owner should know about the file it came from."""

    source: str
    """The file's name, for messages."""
    config: Config
    errors: tuple[Problem, ...] = ()
    """What makes the file unusable; empty after :func:`load_config`."""
    warnings: tuple[Problem, ...] = ()
    unknown: tuple[Problem, ...] = ()
    """Keys nobody knows. They stay in the file."""
    migrations: tuple[Problem, ...] = ()
    """Old keys that were read as present ones."""
    inactive: tuple[Problem, ...] = ()
    """Keys that are set and have no effect yet."""
    lines: Mapping[str, int] = MappingProxyType({})
    """Key path → line, for messages about this configuration that come later."""

    def notes(self) -> Iterator[Problem]:
        """Iterate over everything that does not stop the program, in the order of the file."""
        found = (*self.migrations, *self.unknown, *self.warnings, *self.inactive)
        return iter(sorted(found, key=_by_line))


def load_config(text: str | bytes, source: str = DEFAULT_SOURCE) -> Loaded:
    """Load a configuration. Raises :class:`ConfigError` with every reason why it cannot be used.

    An empty text is a configuration of defaults.
    """
    loaded = examine(text, source)
    if loaded.errors:
        raise ConfigError(source, loaded.errors)
    return loaded


def examine(text: str | bytes, source: str = DEFAULT_SOURCE) -> Loaded:
    """Load a configuration as far as possible and say everything about it. Never raises."""
    try:
        tree = parse(text if isinstance(text, str) else decode(text))
    except YamlError as exc:
        return Loaded(source=source, config=Config(), errors=(exc.problem,))
    migrated = migrate(tree.root)
    reading = read_config(migrated.root)
    cleaned = clean(reading.config, reading.lines)
    problems = sorted((*tree.problems, *reading.problems, *cleaned.problems), key=_by_line)
    return Loaded(
        source=source,
        config=cleaned.config,
        errors=tuple(problem for problem in problems if problem.fatal),
        warnings=tuple(problem for problem in problems if not problem.fatal),
        unknown=reading.unknown,
        migrations=migrated.notes,
        inactive=inactive_keys(cleaned.config, reading.lines),
        lines=reading.lines,
    )


def decode(raw: bytes) -> str:
    """Decode the bytes of a configuration file. Raises :class:`YamlError` for anything but UTF-8."""
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise YamlError(Problem("is UTF-16 text; save the file as UTF-8"))
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = raw.count(b"\n", 0, exc.start) + 1
        raise YamlError(Problem("is not UTF-8 text", line=line)) from exc


def _by_line(problem: Problem) -> int:
    return problem.line or 0
