"""From YAML nodes to the configuration classes, collecting every finding on the way.

The type of a key decides how its scalar is read; YAML's own guesses are never asked. So ``api-key: 12345`` is
a text and ``debug: on`` is true. Where the original of this file format is strict for no good reason, this
reader is not: quoted numbers and booleans are accepted. ``null`` (or nothing after the colon) keeps the
default.

Nothing stops the reading: a value that cannot be used leaves its default behind and adds a problem, so that
one look at the report is enough to mend a file.
"""

import difflib
import re
from collections.abc import Iterator, Mapping
from enum import Enum
from types import MappingProxyType, UnionType
from typing import Final, ForwardRef, get_args, get_origin

import attrs
from attrs import AttrsInstance, define, field, frozen

from cliproxy.config.keys import Key, KeyInfo, is_section, keys_of
from cliproxy.config.model import IGNORED_KEYS, NOT_BUILT, Config
from cliproxy.config.nodes import (
    ListNode,
    MapNode,
    Node,
    ScalarNode,
    decimal_number,
    members,
    solid,
    value_of,
    whole_number,
)
from cliproxy.errors import Problem
from cliproxy.wire.secret import Secret

TRUE_WORDS: Final = frozenset({"true", "True", "TRUE", "y", "Y", "yes", "on"})
FALSE_WORDS: Final = frozenset({"false", "False", "FALSE", "n", "N", "no", "off"})
MAX_NUMBER: Final = 2**53
"""Largest number a key may have; what lies beyond is a mistake."""

_INDEX: Final = re.compile(r"\[\d+\]")
_SHOWN: Final = 40
_EMPTY: Final[Mapping[object, object]] = MappingProxyType({str: "", Secret: Secret("")})


class _Absent(Enum):
    ABSENT = 0


_ABSENT: Final = _Absent.ABSENT
"""What a value that is missing or unusable reads as: the default stays."""


@frozen(kw_only=True)
class Reading:
    """The configuration as read, before anything is checked against anything else."""

    config: Config
    problems: tuple[Problem, ...]
    unknown: tuple[Problem, ...]
    """Keys this program does not know, each with the key that may have been meant."""
    lines: Mapping[str, int]
    """Key path → line."""


def read_config(root: Node | None) -> Reading:
    """Read the whole file. ``None`` is an empty file."""
    reader = _Reader()
    config = Config() if root is None else reader.section(Config, root, "")
    assert isinstance(config, Config)
    return Reading(
        config=config,
        problems=tuple(reader.problems),
        unknown=tuple(reader.unknown),
        lines=MappingProxyType(reader.lines),
    )


def join(path: str, name: str) -> str:
    """Return the path of a member."""
    return f"{path}.{name}" if path else name


def without_indexes(path: str) -> str:
    """Return a key path with its list indexes left out: ``claude-api-key.models.alias``."""
    return _INDEX.sub("", path)


@define
class _Reader:
    problems: list[Problem] = field(factory=list)
    unknown: list[Problem] = field(factory=list)
    lines: dict[str, int] = field(factory=dict)

    # ------------------------------------------------------------------------------------------ sections

    def section(self, kind: type[AttrsInstance], node: Node, path: str) -> AttrsInstance:
        """Read a mapping into a class of keys."""
        target = solid(node)
        values: dict[str, object] = {"place": path} if "place" in attrs.fields_dict(kind) else {}
        if isinstance(target, MapNode):
            for entry in members(target):
                where = join(path, entry.key.text)
                declared = _declared(kind, entry.key.text, path)
                if declared is None:
                    self._note_unknown(kind, entry.key, where)
                    continue
                self.lines[where] = entry.key.span.line
                value = self._value(declared.type, entry.value, where, declared.info)
                if value is not _ABSENT:
                    values[declared.attribute] = value
        elif not _is_nothing(target):
            self._problem(f"must be a group of keys, not {_kind_of(target)}", path, target)
        return kind(**values)

    def _note_unknown(self, kind: type[AttrsInstance], name: ScalarNode, path: str) -> None:
        plain = without_indexes(path)
        if plain in IGNORED_KEYS:
            return
        if plain in NOT_BUILT:
            self._warn(f"has no effect: {NOT_BUILT[plain]}", path, name)
            return
        meant = _meant(kind, name.text, path)
        hint = f"; did you mean `{meant}`?" if meant else ""
        self.unknown.append(Problem(f"unknown key{hint}", path, name.span.line, fatal=False))

    # -------------------------------------------------------------------------------------------- values

    def _value(self, kind: object, node: Node, path: str, info: KeyInfo) -> object:
        """Read a node as a value of an annotated type."""
        target = solid(node)
        if isinstance(kind, UnionType):
            (kind,) = (option for option in get_args(kind) if option is not type(None))
        if isinstance(kind, ForwardRef | str):
            return value_of(node)
        if _is_nothing(target):
            return _ABSENT
        if is_section(kind):
            return self.section(kind, node, path)
        if get_origin(kind) is tuple:
            return self._list(get_args(kind)[0], target, path, info)
        if get_origin(kind) is Mapping:
            return self._map(get_args(kind)[1], target, path, info)
        return self._scalar(kind, target, path, info)

    def _list(self, kind: object, target: Node, path: str, info: KeyInfo) -> object:
        if not isinstance(target, ListNode):
            self._problem(f"must be a list, not {_kind_of(target)}", path, target)
            return _ABSENT
        found = []
        for index, item in enumerate(target.items):
            where = f"{path}[{index}]"
            self.lines[where] = item.span.line
            value = (
                self.section(kind, item, where) if is_section(kind) else self._value(kind, item, where, info)
            )
            if value is _ABSENT:
                # Kept as an empty value, so that positions stay those of the file.
                value = _EMPTY.get(kind, _ABSENT)
            if value is not _ABSENT:
                found.append(value)
        return tuple(found)

    def _map(self, kind: object, target: Node, path: str, info: KeyInfo) -> object:
        if not isinstance(target, MapNode):
            self._problem(f"must be a group of names and values, not {_kind_of(target)}", path, target)
            return _ABSENT
        found = {}
        for entry in members(target):
            where = join(path, entry.key.text)
            self.lines[where] = entry.key.span.line
            value = self._value(kind, entry.value, where, info)
            if value is not _ABSENT:
                found[entry.key.text] = value
            elif get_origin(kind) is tuple:
                # A name with nothing behind it says "explicitly none" and is kept.
                found[entry.key.text] = ()
        return MappingProxyType(found)

    def _scalar(self, kind: object, target: Node, path: str, info: KeyInfo) -> object:
        if not isinstance(target, ScalarNode):
            self._problem(f"must be a single value, not {_kind_of(target)}", path, target)
            return _ABSENT
        if kind is str:
            return self._text(target, path, info)
        if kind is Secret:
            return Secret(target.text)
        if kind is bool:
            return self._flag(target, path)
        number = self._number(target, path, info)
        if number is _ABSENT:
            return _ABSENT
        if kind is float:
            return float(number)
        if number != int(number):
            self._warn(f"must be a whole number; {int(number)} is used", path, target)
        return int(number)

    def _text(self, target: ScalarNode, path: str, info: KeyInfo) -> object:
        text = target.text.strip()
        if not info.words:
            return text
        word = info.words.get(text.lower())
        if word is not None:
            return word
        choices = ", ".join(dict.fromkeys(info.words.values()))
        if info.other is None:
            self._problem(f"must be one of {choices}, not {_quoted(text)}", path, target)
            return _ABSENT
        self._warn(f"is none of {choices}; {info.other} is used", path, target)
        return info.other

    def _flag(self, target: ScalarNode, path: str) -> object:
        if target.text in TRUE_WORDS:
            return True
        if target.text in FALSE_WORDS:
            return False
        self._problem(f"must be true or false, not {_quoted(target.text)}", path, target)
        return _ABSENT

    def _number(self, target: ScalarNode, path: str, info: KeyInfo) -> int | float | _Absent:
        text = target.text.strip()
        number: int | float | None = whole_number(text)
        if number is None:
            number = decimal_number(text)
        if number is None or abs(number) > MAX_NUMBER:
            self._problem(f"must be a number, not {_quoted(text)}", path, target)
            return _ABSENT
        if info.minimum is not None and number < info.minimum:
            if info.below is None:
                self._problem(f"must be at least {info.minimum}", path, target)
                return _ABSENT
            self._warn(f"is below {info.minimum}; {info.below} is used", path, target)
            return info.below
        if info.maximum is not None and number > info.maximum:
            if info.above is None:
                self._problem(f"must be at most {info.maximum}", path, target)
                return _ABSENT
            self._warn(f"is above {info.maximum}; {info.above} is used", path, target)
            return info.above
        return number

    # ----------------------------------------------------------------------------------------- findings

    def _problem(self, message: str, path: str, node: Node) -> None:
        self.problems.append(Problem(message, path, node.span.line))

    def _warn(self, message: str, path: str, node: Node) -> None:
        self.problems.append(Problem(message, path, node.span.line, fatal=False))


def _is_nothing(node: Node) -> bool:
    return isinstance(node, ScalarNode) and node.is_null


def _kind_of(node: Node) -> str:
    match solid(node):
        case ListNode():
            return "a list"
        case MapNode():
            return "a group of keys"
        case _:
            return "a single value"


def _quoted(text: str) -> str:
    shown = text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
    return f"`{shown}`"


def _declared(kind: type[AttrsInstance], name: str, path: str) -> Key | None:
    """Return a key of a section unless it has no meaning at this place."""
    declared = keys_of(kind).get(name)
    if declared is None or not declared.info.only:
        return declared
    top = without_indexes(path).partition(".")[0]
    return declared if top in declared.info.only else None


def _meant(kind: type[AttrsInstance], name: str, path: str) -> str | None:
    """Guess which key an unknown one was meant to be: a spelling close by, or the same name elsewhere."""
    spelled = name.strip().lower().replace("_", "-")
    here = [known for known in keys_of(kind) if _declared(kind, known, path) is not None]
    if close := difflib.get_close_matches(spelled, here, n=1, cutoff=0.75):
        return close[0]
    elsewhere = [known for known in _fixed_paths(Config, "") if known.rpartition(".")[2] == spelled]
    return elsewhere[0] if len(elsewhere) == 1 else None


def _fixed_paths(kind: type[AttrsInstance], path: str) -> Iterator[str]:
    """Yield the paths of all keys outside lists and maps."""
    for declared in keys_of(kind).values():
        where = join(path, declared.name)
        yield where
        if is_section(declared.type):
            yield from _fixed_paths(declared.type, where)
