"""The owner's payload rules: what is set in, and removed from, a request on its way to the upstream.

Rules see the request as it is about to be sent, translated or passed through, in the words of the upstream's
dialect. Where that is an envelope around another API's request, they see what is inside. After them come only
the members that a contract has to have its way with.

====  ==============================  ====================================================================
step  lists                           effect of a path
====  ==============================  ====================================================================
1     ``default``, ``default-raw``    set where the request had nothing there; the first rule for a path
                                      wins
2     ``override``, ``override-raw``  always set; the last rule wins
3     ``filter``                      removed
====  ==============================  ====================================================================

Which rules apply, and what was absent, is decided by the request before any rule, so that it does not depend
on the order of the rules. Everything is understood once, when a snapshot is made; paths and values have been
checked with the configuration.

``stream`` is not for rules: how the answer is read and passed on was settled before.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, TypeAlias

from attrs import field, frozen

from cliproxy.config.entries import PayloadFilter, PayloadModel, PayloadRule
from cliproxy.config.groups import Payload
from cliproxy.dialects.base import RuleForm
from cliproxy.wire.jsonpath import Path, found, parse, same, with_value, without
from cliproxy.wire.jsontext import JsonObject, JsonValue, loads, rest

KEPT: Final = "stream"
"""The member that stays as it is."""


@frozen(kw_only=True)
class Occasion:
    """A request, as far as rules ask about it beside its body."""

    models: frozenset[str]
    """Every name the model goes by: the upstream's, the client's, the client's with its suffix."""
    upstream: RuleForm
    client: frozenset[str] = frozenset()
    """The names of the client's dialect."""
    headers: Mapping[str, str] = field(factory=dict, repr=False)
    """The client's, in lower case."""


Condition: TypeAlias = Callable[[Occasion, JsonObject], bool]
Conditions: TypeAlias = tuple[tuple[Condition, ...], ...]
"""A rule is about a request that fulfils all conditions of one of its entries."""


@frozen
class Setting:
    """A rule that sets values."""

    conditions: Conditions = field(repr=False)
    values: tuple[tuple[Path, JsonValue], ...]


@frozen
class Removal:
    """A rule that removes what is there."""

    conditions: Conditions = field(repr=False)
    paths: tuple[Path, ...]


@frozen(kw_only=True)
class Rules:
    """All rules of a configuration."""

    defaults: tuple[Setting, ...]
    overrides: tuple[Setting, ...]
    removals: tuple[Removal, ...]

    def apply(self, body: JsonObject, occasion: Occasion) -> JsonObject:
        """Return the body as the owner wants it; what no rule touched is the same object as before."""
        envelope = occasion.upstream.envelope
        if not envelope:
            return self._applied(body, occasion)
        inner = body.get(envelope)
        if not isinstance(inner, dict):
            return body
        changed = self._applied(inner, occasion)
        return body if changed is inner else {**body, envelope: changed}

    def _applied(self, original: JsonObject, occasion: Occasion) -> JsonObject:
        body = original
        for path, value in self._missing(original, occasion):
            body = with_value(body, path, value)
        for setting in self.overrides:
            if _concerns(setting.conditions, occasion, original):
                for path, value in setting.values:
                    body = with_value(body, path, value)
        for removal in self.removals:
            if _concerns(removal.conditions, occasion, original):
                for path in removal.paths:
                    body = without(body, path)
        return _with_kept(body, original)

    def _missing(self, original: JsonObject, occasion: Occasion) -> Iterator[tuple[Path, JsonValue]]:
        """Yield the values for paths that lead to nothing, one for each path."""
        taken: set[str] = set()
        for setting in self.defaults:
            if not _concerns(setting.conditions, occasion, original):
                continue
            for path, value in setting.values:
                if path.text not in taken and not found(original, path):
                    yield path, value
                taken.add(path.text)


def _with_kept(body: JsonObject, original: JsonObject) -> JsonObject:
    if body.get(KEPT) is original.get(KEPT) and (KEPT in body) is (KEPT in original):
        return body
    others = rest(body, KEPT)
    return {**others, KEPT: original[KEPT]} if KEPT in original else others


# --- understanding rules ---


def compiled(payload: Payload) -> Rules | None:
    """Understand the rules of a configuration that has been read; ``None`` if there are none."""
    rules = Rules(
        defaults=(*_settings(payload.default), *_settings(payload.default_raw, is_raw=True)),
        overrides=(*_settings(payload.override), *_settings(payload.override_raw, is_raw=True)),
        removals=tuple(_removals(payload.filter)),
    )
    return rules if rules.defaults or rules.overrides or rules.removals else None


def _settings(rules: Iterable[PayloadRule], *, is_raw: bool = False) -> Iterator[Setting]:
    for rule in rules:
        values = (
            (parse(path), loads(value) if is_raw and isinstance(value, str) else value)
            for path, value in rule.params.items()
            if not (is_raw and value is None)
        )
        yield Setting(_conditions(rule.models), tuple(values))


def _removals(rules: Iterable[PayloadFilter]) -> Iterator[Removal]:
    for rule in rules:
        yield Removal(_conditions(rule.models), tuple(parse(path) for path in rule.params))


def _conditions(entries: Iterable[PayloadModel]) -> Conditions:
    return tuple(tuple(_conditions_of(entry)) for entry in entries)


def _conditions_of(entry: PayloadModel) -> Iterator[Condition]:
    """Yield what must hold for an entry to match, the cheap and telling first."""
    yield _is_for_model(entry.name)
    if entry.protocol:
        yield _goes_to(entry.protocol.strip().lower())
    if entry.from_protocol:
        yield _comes_from(entry.from_protocol.strip().lower())
    for name, pattern in entry.headers.items():
        yield _has_header(name.strip().lower(), pattern)
    for wanted in entry.match:
        for path, value in wanted.items():
            yield _has_value(parse(path), value, is_wanted=True)
    for unwanted in entry.not_match:
        for path, value in unwanted.items():
            yield _has_value(parse(path), value, is_wanted=False)
    for path in entry.exist:
        yield _has_something(parse(path), is_wanted=True)
    for path in entry.not_exist:
        yield _has_something(parse(path), is_wanted=False)


def _concerns(conditions: Conditions, occasion: Occasion, body: JsonObject) -> bool:
    return any(all(holds(occasion, body) for holds in entry) for entry in conditions)


def _is_for_model(pattern: str) -> Condition:
    return lambda occasion, _: bool(pattern) and any(is_like(name, pattern) for name in occasion.models)


def _goes_to(protocol: str) -> Condition:
    return lambda occasion, _: protocol in occasion.upstream.names


def _comes_from(protocol: str) -> Condition:
    return lambda occasion, _: protocol in occasion.client


def _has_header(name: str, pattern: str) -> Condition:
    return lambda occasion, _: name in occasion.headers and is_like(occasion.headers[name], pattern)


def _has_value(path: Path, value: JsonValue, *, is_wanted: bool) -> Condition:
    return lambda _, body: any(same(there, value) for there in found(body, path)) is is_wanted


def _has_something(path: Path, *, is_wanted: bool) -> Condition:
    return lambda _, body: any(there is not None for there in found(body, path)) is is_wanted


def is_like(text: str, pattern: str) -> bool:
    """Tell whether the whole text looks like a pattern in which ``*`` stands for anything.

    Each part is looked for once, from left to right, so that no pattern takes long over a text of a client's.
    """
    first, *parts = pattern.split("*")
    if not parts:
        return text == pattern
    last = parts.pop()
    if len(text) < len(first) + len(last) or not (text.startswith(first) and text.endswith(last)):
        return False
    at, end = len(first), len(text) - len(last)
    for part in parts:
        at = text.find(part, at, end)
        if at < 0:
            return False
        at += len(part)
    return True
