"""The configuration as plain data, in the file's own keys: for saving, comparing and showing it."""

from collections.abc import Callable, Mapping
from typing import cast

from attrs import AttrsInstance

from cliproxy.config.keys import is_section, keys_of
from cliproxy.wire.jsontext import JsonObject, JsonValue
from cliproxy.wire.secret import Secret


def as_data(section: AttrsInstance, show: Callable[[Secret], str]) -> JsonObject:
    """Return every key of a section with its value. ``show`` decides what becomes of secrets.

    ``Secret.reveal`` gives data that loads as the same configuration, ``Secret.hint`` data that may be shown.
    """
    return {
        declared.name: _plain(getattr(section, declared.attribute), show)
        for declared in keys_of(type(section)).values()
    }


def _plain(value: object, show: Callable[[Secret], str]) -> JsonValue:
    match value:
        case None | bool() | int() | float() | str():
            return value
        case Secret():
            return show(value)
        case list() | tuple():
            return [_plain(item, show) for item in value]
        case Mapping():
            return {str(name): _plain(item, show) for name, item in value.items()}
        case _:
            return as_data(_section(value), show)


def _section(value: object) -> AttrsInstance:
    assert is_section(type(value)), f"{type(value).__name__} has no form in the file"
    return cast("AttrsInstance", value)  # a TypeGuard speaks of the class, not of its instance
