"""How one configuration key is described, and how the descriptions are read back.

Every key of the file is an attribute of a frozen attrs class, declared with :func:`setting`. The declaration
carries what all users of the model need to know about it: its default, one line of documentation, whether the
program acts on it yet, and the limits and words it accepts. The reader, the example file, the report of keys
without effect and the data view are all driven by these declarations; none of them knows a key by name.

The name in the file is the attribute's name with hyphens. The type annotation says how a value is read
(see :mod:`cliproxy.config.read`); a ``JsonValue`` in an annotation means "any YAML value, types kept".
"""

import functools
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, TypedDict, TypeGuard, TypeVar, Unpack

import attrs
from attrs import AttrsInstance, field, frozen

from cliproxy.wire.jsontext import JsonValue

T = TypeVar("T")

_INFO: Final = "cliproxy.config"
_NO_LIMITS: Final[frozenset[str]] = frozenset()
_NO_WORDS: Final[Mapping[str, str]] = MappingProxyType({})


@frozen(kw_only=True)
class KeyInfo:
    """What is said about a key beside its name, type and default."""

    doc: str
    """One line for people; becomes the comment in the example file."""
    active: bool = False
    """Whether the program acts on the key. Others are accepted and reported as not active yet."""
    example: JsonValue = None
    """A sample for the example file, where the default (an empty list) would show nothing."""
    minimum: int | None = None
    maximum: int | None = None
    below: int | None = None
    """What a number under ``minimum`` becomes; without it such a number is an error."""
    above: int | None = None
    """What a number over ``maximum`` becomes; without it such a number is an error."""
    words: Mapping[str, str] = _NO_WORDS
    """Accepted words in lower case and what each stands for; empty: any text."""
    other: str | None = None
    """What a word outside ``words`` stands for; without it such a word is an error."""
    only: frozenset[str] = _NO_LIMITS
    """Top-level keys below which this key has a meaning; empty: everywhere."""


@frozen(kw_only=True)
class Key:
    """A declared key: :class:`KeyInfo` plus what attrs knows."""

    attribute: str
    name: str
    """The name in the file."""
    type: object
    default: object
    info: KeyInfo


class KeyOptions(TypedDict, total=False):
    """The fields of :class:`KeyInfo` that a declaration may set."""

    active: bool
    example: JsonValue
    minimum: int | None
    maximum: int | None
    below: int | None
    above: int | None
    words: Mapping[str, str]
    other: str | None
    only: frozenset[str]


def _frozen_mapping(value: Mapping[str, object]) -> Mapping[str, object]:
    return MappingProxyType(dict(value))


def setting(default: T, doc: str, *, shown: bool = True, **options: Unpack[KeyOptions]) -> T:
    """Declare a key; ``shown=False`` keeps its value out of ``repr``.

    The declared result type is the type of the value, as it is for ``attrs.field``.
    """
    metadata = {_INFO: KeyInfo(doc=doc, **options)}
    converter = _converter(default)
    return field(default=default, converter=converter, metadata=metadata, repr=shown)


def _converter(default: object) -> Callable[[Any], Any] | None:
    """Return what makes a collection immutable. ``Any``: attrs hands over whatever the caller passed."""
    if isinstance(default, tuple):
        return tuple
    return _frozen_mapping if isinstance(default, Mapping) else None


def place() -> str:
    """Declare the attribute that says where in the file an entry stands, such as ``claude-api-key[2]``.

    It is filled by the reader, is not a key, and does not take part in comparisons: a moved entry is the same
    entry.
    """
    return field(default="", eq=False)


@functools.cache
def keys_of(section: type[AttrsInstance]) -> Mapping[str, Key]:
    """Return the keys a class declares, by their name in the file and in the order of declaration."""
    found = {}
    for attribute in attrs.fields(section):
        info = attribute.metadata.get(_INFO)
        if info is None:
            continue
        name = attribute.name.replace("_", "-")
        found[name] = Key(
            attribute=attribute.name, name=name, type=attribute.type, default=attribute.default, info=info
        )
    return MappingProxyType(found)


def is_section(kind: object) -> TypeGuard[type[AttrsInstance]]:
    """Tell whether a type annotation is a class of keys."""
    return isinstance(kind, type) and attrs.has(kind)
