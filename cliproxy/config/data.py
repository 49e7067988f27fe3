"""The configuration as plain data, in the file's own keys: for saving, comparing and showing it."""

from collections.abc import Callable, Mapping

from cliproxy.config.keys import is_section, keys_of
from cliproxy.config.model import Config
from cliproxy.wire.jsontext import JsonObject, JsonValue
from cliproxy.wire.secret import Secret


def as_data(config: Config, show: Callable[[Secret], str]) -> JsonObject:
    """Return every key with its value. ``show`` decides what becomes of secrets.

    ``Secret.reveal`` gives data that loads as the same configuration, ``Secret.hint`` data that may be shown.
    """
    return {
        declared.name: _plain(getattr(config, declared.attribute), show, declared.name)
        for declared in keys_of(Config).values()
    }


def _plain(value: object, show: Callable[[Secret], str], top: str) -> JsonValue:
    """Return the value of a key below the top-level key ``top``."""
    match value:
        case None | bool() | int() | float() | str():
            return value
        case Secret():
            return show(value)
        case list() | tuple():
            return [_plain(item, show, top) for item in value]
        case Mapping():
            return {str(name): _plain(item, show, top) for name, item in value.items()}
        case _:
            return _section(value, show, top)


def _section(value: object, show: Callable[[Secret], str], top: str) -> JsonObject:
    kind = type(value)
    assert is_section(kind), f"{kind.__name__} has no form in the file"
    return {
        declared.name: _plain(getattr(value, declared.attribute), show, top)
        for declared in keys_of(kind).values()
        if not declared.info.only or top in declared.info.only
    }
