"""A small schema language for request bodies, strict by default.

Vendors describe the same kinds of mistakes in different words, so a check raises a `Problem` (where, what
kind, which figures) and each family turns it into its own error body. Bodies are described as data:

    Obj({"model": Str(), "n": Opt(Num(whole=True, low=1))}, required=("model",))

A member that is not listed is a problem; `Opt` lets a member be null; `Either` picks by JSON type, `Tagged`
by the value of one member.
"""

import re
from collections.abc import Mapping
from typing import Protocol, TypeAlias

from attrs import field, frozen

from emulators.values import Json

Path: TypeAlias = tuple[str | int, ...]

KINDS: dict[type, str] = {
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
    type(None): "null",
}


class Problem(Exception):
    """What is wrong with a body, and where; `figures` feed the vendor's wording."""

    def __init__(self, kind: str, path: Path, **figures: object) -> None:
        super().__init__(f"{kind} at {dotted(path)}: {figures}")
        self.kind = kind
        self.path = path
        self.figures = figures


class Spec(Protocol):
    """Anything that can check a value."""

    @property
    def kind(self) -> str:
        """The JSON type in words, for messages."""
        ...

    def check(self, value: Json, path: Path) -> None:
        """Raise `Problem` if the value does not fit."""
        ...


def kind_of(value: Json) -> str:
    """The JSON type of a value in words."""
    return KINDS[type(value)]


def dotted(path: Path) -> str:
    """`messages.0.content`, the way pydantic writes it."""
    return ".".join(map(str, path))


def bracketed(path: Path) -> str:
    """`messages[0].content`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


@frozen
class Anything:
    """No restriction."""

    kind: str = "any"

    def check(self, value: Json, path: Path) -> None:
        """Accept everything."""


@frozen(kw_only=True)
class Str:
    """A string, optionally bounded, matching, or out of a list."""

    low: int = 0
    high: int | None = None
    pattern: str | None = None
    choices: tuple[str, ...] = ()
    kind: str = "string"

    def check(self, value: Json, path: Path) -> None:
        """Check type, then choices, then length, then pattern."""
        if not isinstance(value, str):
            raise Problem("type", path, expected=self.kind, found=value)
        if self.choices and value not in self.choices:
            raise Problem("choice", path, found=value, choices=self.choices)
        if len(value) < self.low:
            raise Problem("short", path, low=self.low, length=len(value), of=self.kind)
        if self.high is not None and len(value) > self.high:
            raise Problem("long", path, high=self.high, length=len(value), of=self.kind)
        if self.pattern is not None and not re.fullmatch(self.pattern, value):
            raise Problem("pattern", path, pattern=self.pattern, found=value)


@frozen(kw_only=True)
class Num:
    """A number within bounds."""

    low: float | None = None
    high: float | None = None
    whole: bool = False
    kind: str = field(init=False)

    @kind.default
    def _kind(self) -> str:
        return "integer" if self.whole else "number"

    def check(self, value: Json, path: Path) -> None:
        """Check type, then bounds; true and false are no numbers."""
        fits = isinstance(value, int) or (isinstance(value, float) and not self.whole)
        if not fits or isinstance(value, bool) or not isinstance(value, int | float):
            raise Problem("type", path, expected=self.kind, found=value)
        if self.low is not None and value < self.low:
            raise Problem("small", path, low=self.low, found=value)
        if self.high is not None and value > self.high:
            raise Problem("big", path, high=self.high, found=value)


@frozen
class Bool:
    """True or false."""

    kind: str = "boolean"

    def check(self, value: Json, path: Path) -> None:
        """Check the type."""
        if not isinstance(value, bool):
            raise Problem("type", path, expected=self.kind, found=value)


@frozen
class List:
    """A list of like members."""

    item: Spec
    low: int = 0
    high: int | None = None
    kind: str = "array"

    def check(self, value: Json, path: Path) -> None:
        """Check length, then each member."""
        if not isinstance(value, list):
            raise Problem("type", path, expected=self.kind, found=value)
        if len(value) < self.low:
            raise Problem("short", path, low=self.low, length=len(value), of=self.kind)
        if self.high is not None and len(value) > self.high:
            raise Problem("long", path, high=self.high, length=len(value), of=self.kind)
        for at, member in enumerate(value):
            self.item.check(member, (*path, at))


@frozen
class Map:
    """An object with free names and like values."""

    item: Spec = Anything()
    high: int | None = None
    kind: str = "object"

    def check(self, value: Json, path: Path) -> None:
        """Check each value."""
        if not isinstance(value, dict):
            raise Problem("type", path, expected=self.kind, found=value)
        if self.high is not None and len(value) > self.high:
            raise Problem("long", path, high=self.high, length=len(value), of=self.kind)
        for name, member in value.items():
            self.item.check(member, (*path, name))


@frozen
class Obj:
    """An object with known members only."""

    fields: Mapping[str, Spec]
    required: tuple[str, ...] = ()
    kind: str = "object"

    def check(self, value: Json, path: Path) -> None:
        """Check for unknown members, then missing ones, then each one."""
        if not isinstance(value, dict):
            raise Problem("type", path, expected=self.kind, found=value)
        for name in value:
            if name not in self.fields:
                raise Problem("unknown", (*path, name), name=name)
        for name in self.required:
            if name not in value:
                raise Problem("missing", (*path, name), name=name)
        for name, member in value.items():
            self.fields[name].check(member, (*path, name))


@frozen
class Opt:
    """A value that may be null."""

    inner: Spec
    kind: str = field(init=False)

    @kind.default
    def _kind(self) -> str:
        return self.inner.kind

    def check(self, value: Json, path: Path) -> None:
        """Accept null, else check the inner specification."""
        if value is not None:
            self.inner.check(value, path)


@frozen
class Either:
    """One specification for each JSON type that is allowed."""

    options: tuple[Spec, ...]
    kind: str = field(init=False)

    @kind.default
    def _kind(self) -> str:
        return " or ".join(option.kind for option in self.options)

    def check(self, value: Json, path: Path) -> None:
        """Let the specification of the value's type decide."""
        found = kind_of(value)
        for option in self.options:
            if option.kind == found or (option.kind == "number" and found == "integer"):
                return option.check(value, path)
        raise Problem("type", path, expected=self.kind, found=value)


@frozen
class Tagged:
    """An object whose member `key` names its shape."""

    key: str
    shapes: Mapping[str, Spec]
    default: str | None = None
    """The shape of an object without the member, where that is allowed."""
    kind: str = "object"

    def check(self, value: Json, path: Path) -> None:
        """Find the shape, then check it."""
        if not isinstance(value, dict):
            raise Problem("type", path, expected=self.kind, found=value)
        tag = value.get(self.key, self.default)
        if tag is None:
            raise Problem("missing", (*path, self.key), name=self.key)
        shape = self.shapes.get(tag) if isinstance(tag, str) else None
        if shape is None:
            raise Problem("choice", (*path, self.key), found=tag, choices=tuple(self.shapes))
        shape.check(value, path)
