"""The example configuration, written from the key model: every key with its meaning and its default.

``python -m cliproxy.config.example > config.example.yaml`` renews the file in the repository.

Keys the program acts on and that have a plain default are written out; lists, and keys without effect yet,
are commented out. A commented setting has its ``#`` where the line begins and no single space behind it, so
that taking the ``#`` away leaves it rightly indented; a remark is ``#``, one space, text.

The entries of the long lists are explained in full where their kind comes first and shown in short
afterwards.
"""

import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from types import UnionType
from typing import Final, get_args, get_origin

from attrs import AttrsInstance, define, field

from cliproxy.config.keys import Key, is_section, keys_of
from cliproxy.config.model import DEFAULT_AUTH_DIR, DEFAULT_PORT, Config
from cliproxy.config.render import INDENT, flow_text, scalar
from cliproxy.wire.jsontext import JsonObject, JsonValue
from cliproxy.wire.secret import Secret

WIDTH: Final = 100

_HEAD: Final = """\
# All settings of cliproxy with their defaults. Keep what you need; an absent key has its default.
#
# A line that begins with "#" and a setting is commented out: take the "#" away to use it.
# `cliproxy check` says what is wrong with a configuration, and where.
"""
_CHAPTERS: Final[Mapping[str, str]] = {
    "host": "The server",
    "proxy-url": "Requests to upstreams",
    "gitlab-api-key": "Keys and their models. Accounts are added by logins and live in auth-dir",
    "vertex-api-key": "More keys",
    "payload": "More about requests",
    "codex-header-defaults": "Single upstreams",
    "remote-management": "Management, usage, logs",
}
_NOT_YET: Final = "Not active yet."


def example_config() -> str:
    """Return the text of ``config.example.yaml``."""
    return _Writer().document()


def starter_config(client_key: str) -> str:
    """Return a short configuration to begin with; ``client_key`` is the new key of the first client."""
    return f"""\
# Configuration of cliproxy. The file config.example.yaml shows every setting.

# Where clients connect to.
port: {DEFAULT_PORT}

# The keys that clients send, one for each. This one was made for you.
api-keys:
  - {scalar(client_key, '"')}

# Where logins keep the accounts. Add one with `cliproxy login gitlab`; `cliproxy -help` lists the others.
auth-dir: "{DEFAULT_AUTH_DIR}"

# Accounts that you have an access token or key for can be named here instead.
#gitlab-api-key:
#  - api-key: "glpat-..."
#    base-url: "https://gitlab.com"
#claude-api-key:
#  - api-key: "sk-ant-..."
"""


@define
class _Writer:
    """Writes the document once; remembers which kinds of entries have been explained."""

    _explained: set[type] = field(factory=set)

    def document(self) -> str:
        lines = [_HEAD.rstrip()]
        for name, declared in keys_of(Config).items():
            if name in _CHAPTERS:
                lines += ["", "", f"# ---- {_CHAPTERS[name]} ----"]
            lines += ["", *self._key(declared, 0, name)]
        return "\n".join(lines) + "\n"

    def _key(self, declared: Key, indent: int, top: str) -> Iterator[str]:
        """Write a key of a fixed group: its remark and its value."""
        active = declared.info.active
        yield from _remark(declared, indent, flag=not active)
        if is_section(declared.type):
            inner = keys_of(declared.type).values()
            body = [line for key in inner for line in self._key(key, indent + INDENT, top)]
            yield _setting(f"{declared.name}:", indent, live=active)
            yield from body if active else _commented(_unflagged(body))
        elif _is_collection(declared.type):
            lines = self._sample(declared, declared.info.example, indent, top)
            yield from _commented(lines if active else _unflagged(lines))
        else:
            yield _setting(f"{declared.name}: {_literal(declared.default)}", indent, live=active)

    def _sample(self, declared: Key, example: JsonValue, indent: int, top: str) -> Iterator[str]:
        """Write a list or map with a sample, as it stands once its comment signs are gone."""
        kind = _entry_kind(declared.type)
        head = f"{'':{indent}}{declared.name}:"
        if kind is not None and isinstance(example, dict):
            body = list(self._entries(declared.type, kind, example, indent + INDENT, top))
            yield from [head, *body] if body else [f"{head} []"]
        elif indent == 0 and isinstance(example, list):
            yield head
            yield from (f"{'':{INDENT}}- {_literal(item)}" for item in example)
        else:
            yield f"{head} {_literal(_empty(declared) if example is None else example)}"

    def _entries(
        self, shape: object, kind: type[AttrsInstance], example: JsonObject, indent: int, top: str
    ) -> Iterator[str]:
        """Write the entries of a list, or of a map by name."""
        if get_origin(shape) is tuple:
            yield from self._item(kind, example, indent, top)
            return
        is_list = get_origin(get_args(shape)[1]) is tuple
        write = self._item if is_list else self._members
        for name, sample in example.items():
            yield f"{'':{indent}}{name}:"
            yield from write(kind, sample if isinstance(sample, dict) else {}, indent + INDENT, top)

    def _item(self, kind: type[AttrsInstance], sample: JsonObject, indent: int, top: str) -> Iterator[str]:
        """Write one entry of a list: its members, the first one behind the dash."""
        lines = list(self._members(kind, sample, indent + INDENT, top))
        first = next((at for at, line in enumerate(lines) if not line.lstrip().startswith("#")), 0)
        for at, line in enumerate(lines):
            if at < first:
                yield line[INDENT:]
            else:
                yield f"{'':{indent}}- {line.lstrip()}" if at == first else line

    def _members(self, kind: type[AttrsInstance], sample: JsonObject, indent: int, top: str) -> Iterator[str]:
        """Write the members of an entry: all of them the first time, later those of the sample."""
        in_full = kind not in self._explained
        self._explained.add(kind)
        known = keys_of(kind)
        rest = (declared for declared in known.values() if declared.name not in sample)
        for declared in (*(known[name] for name in sample), *rest):
            is_own = top in declared.info.only
            if declared.info.only and not is_own:
                continue
            if in_full or is_own:
                yield from _remark(declared, indent, flag=not declared.info.active)
            elif declared.name not in sample:
                continue
            value = sample.get(declared.name, declared.info.example)
            if _is_collection(declared.type):
                yield from self._sample(declared, value, indent, top)
            else:
                shown = declared.default if value is None else value
                yield f"{'':{indent}}{declared.name}: {_literal(shown)}"


def _remark(declared: Key, indent: int, *, flag: bool) -> Iterator[str]:
    """Write what a key is for; ``flag`` adds that nothing acts on it yet."""
    for line in textwrap.wrap(declared.info.doc, WIDTH - indent - len("# ")):
        yield f"{'':{indent}}# {line}"
    if flag:
        yield f"{'':{indent}}# {_NOT_YET}"


def _setting(line: str, indent: int, *, live: bool) -> str:
    return f"{'' if live else '#'}{'':{indent}}{line}"


def _commented(lines: Iterable[str]) -> Iterator[str]:
    """Comment lines out; remarks at the left edge and settings that are commented out already stay."""
    for line in lines:
        yield line if line.startswith("#") else f"#{line}"


def _unflagged(lines: Iterable[str]) -> Iterator[str]:
    """Leave out what was said about the whole group already."""
    return (line for line in lines if line.strip() != f"# {_NOT_YET}")


def _is_collection(kind: object) -> bool:
    return get_origin(_plain_kind(kind)) in (tuple, Mapping)


def _plain_kind(kind: object) -> object:
    """Return an annotation without its ``| None``."""
    if isinstance(kind, UnionType):
        (kind,) = (option for option in get_args(kind) if option is not type(None))
    return kind


def _entry_kind(kind: object) -> type[AttrsInstance] | None:
    """Return the class of a collection's entries, if they are groups of keys."""
    inner = get_args(_plain_kind(kind))
    while inner:
        if is_section(inner[-1] if inner[-1] is not Ellipsis else inner[0]):
            found = inner[-1] if inner[-1] is not Ellipsis else inner[0]
            assert is_section(found)
            return found
        inner = get_args(inner[-1] if inner[-1] is not Ellipsis else inner[0])
    return None


def _empty(declared: Key) -> JsonValue:
    if declared.default is None:
        return None
    return [] if get_origin(declared.type) is tuple else {}


def _literal(value: object) -> str:
    """Write a default as an owner would: texts in double quotes, whole numbers without a fraction."""
    if isinstance(value, Secret):
        return '""'
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, str):
        return scalar(value, '"')
    if value is None or isinstance(value, bool | int | float):
        return scalar(value)
    assert isinstance(value, list | dict)
    return flow_text(value, '"')


if __name__ == "__main__":
    sys.stdout.write(example_config())
