"""Credential files: bytes and file name in, credential out, and back without losing a member.

A file of the auth directory is one JSON object. Its ``type`` says which provider it belongs to; the tokens
in it are the provider's business; a set of settings means the same in every file and is read here. Members
nobody knows stay in ``Credential.data`` and are written again.

What this module has to know about a provider it takes from :class:`CredentialCodec` records. A file that
cannot serve as a credential raises :class:`CredentialError`, which names the file and the reason and never
shows what is in it. A setting that makes no sense is left out and warned about, except ``disabled``:
whoever wrote something there did not want the account to be used.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final

from attrs import define, field, frozen

from cliproxy.config.entries import ERROR_ACTIONS, ScopedError
from cliproxy.config.errorrules import ErrorRule, compiled, faults_of
from cliproxy.config.normalize import (
    normal_headers,
    normal_patterns,
    normal_prefix,
    normal_url,
    proxy_problem,
)
from cliproxy.credentials.model import Credential, CredentialId, CredentialKind, ModelEntry
from cliproxy.errors import CredentialError
from cliproxy.wire.jsontext import (
    JsonError,
    JsonObject,
    JsonValue,
    child,
    dumps_text,
    flag,
    integer,
    loads_object,
    objects,
    strings,
    text,
)
from cliproxy.wire.secret import Secret

SETTINGS: Final = frozenset(
    {
        "disable_cooling",
        "disabled",
        "excluded_models",
        "headers",
        "label",
        "max_concurrent",
        "model_aliases",
        "note",
        "prefix",
        "priority",
        "proxy_url",
        "request_retry",
        "request_scoped_errors",
        "tool_prefix_disabled",
        "websockets",
        "weight",
    }
)
"""Members that belong to the owner. Nothing but the owner's own edit changes them."""

TOKEN_OBJECT: Final = "token"
"""A member that some providers keep their tokens in; it is merged member by member."""

_TRUE: Final = frozenset({"true", "1", "yes", "y", "on"})
_FALSE: Final = frozenset({"false", "0", "no", "n", "off", ""})
_NUMBER: Final = re.compile(r"[-+]?[0-9]{1,15}")


@frozen(kw_only=True)
class CredentialCodec:
    """What reading a provider's files needs to know of the provider."""

    type: str
    """Value of ``type`` in files that are written."""
    provider: str
    """Key of the provider record."""
    other_types: tuple[str, ...] = ()
    """Further values of ``type`` that older or other programs write."""
    tokens: tuple[str, ...] = ()
    """Members one of which has to be filled; a dot leads into an object: ``token.refresh_token``."""
    label_from: tuple[str, ...] = ("label", "email", "username")
    """Members to take the label from, the first filled one; the provider's key when none is."""


@frozen(kw_only=True)
class DecodedFile:
    """A credential and what is odd about its file."""

    credential: Credential
    warnings: tuple[str, ...] = ()
    """Each names the file."""


def codec_table(codecs: Iterable[CredentialCodec]) -> Mapping[str, CredentialCodec]:
    """Return the codecs by every ``type`` they read."""
    table: dict[str, CredentialCodec] = {}
    for codec in codecs:
        for name in (codec.type, *codec.other_types):
            assert name not in table, f"two codecs read files of type {name}"
            table[name] = codec
    return table


def decode_credential(name: str, raw: bytes, codecs: Mapping[str, CredentialCodec]) -> DecodedFile:
    """Read a credential file. Raises :class:`CredentialError`."""
    data = _object(name, raw)
    codec = _codec(name, data, codecs)
    if codec.tokens and not any(_filled(data, path) for path in codec.tokens):
        raise CredentialError(f"{name}: holds no token: {' or '.join(codec.tokens)} is needed")
    settings = _Settings(name, data)
    credential = Credential(
        id=CredentialId(name),
        provider=codec.provider,
        kind=CredentialKind.ACCOUNT,
        label=next(
            (found for member in codec.label_from if (found := text(data, member).strip())), codec.provider
        ),
        base_url=normal_url(text(data, "base_url")),
        proxy_url=settings.proxy(),
        prefix=settings.prefix(),
        priority=settings.whole("priority") or 0,
        weight=1 if (weight := settings.whole("weight")) is None else weight,
        max_concurrent=None if (most := settings.whole("max_concurrent")) is None else max(most, 0),
        headers=settings.headers(),
        model_aliases=settings.aliases(),
        excluded_models=normal_patterns(strings(settings.data, "excluded_models")),
        disable_cooling=settings.flag("disable_cooling"),
        request_retry=settings.whole("request_retry"),
        error_rules=settings.error_rules(),
        disabled=settings.disabled(),
        note=text(data, "note").strip(),
        websockets=bool(settings.flag("websockets")),
        source=name,
        data=data,
    )
    return DecodedFile(credential=credential, warnings=tuple(settings.warnings))


def _object(name: str, raw: bytes) -> JsonObject:
    if not raw.strip():
        raise CredentialError(f"{name}: is empty")
    try:
        return loads_object(raw)
    except JsonError as exc:
        raise CredentialError(f"{name}: is not a JSON object: {exc}") from exc


def _codec(name: str, data: JsonObject, codecs: Mapping[str, CredentialCodec]) -> CredentialCodec:
    kind = text(data, "type").strip().lower()
    if not kind:
        raise CredentialError(f"{name}: has no `type`, which says whose account it is")
    codec = codecs.get(kind)
    if codec is None:
        known = ", ".join(sorted(codecs)) or "none"
        raise CredentialError(f"{name}: is of type `{kind[:40]}`, which is not known; known types: {known}")
    return codec


def _filled(data: JsonObject, path: str) -> bool:
    *parents, last = path.split(".")
    for parent in parents:
        data = child(data, parent)
    value = data.get(last)
    return bool(value.strip()) if isinstance(value, str) else bool(value)


def _present_names(data: JsonObject) -> JsonObject:
    """Return the members with their settings under the names of today: ``proxy-url`` means ``proxy_url``."""
    respelled = {name.replace("-", "_"): value for name, value in data.items()}
    return {**respelled, **data}


@define
class _Settings:
    """The owner's settings of one file."""

    name: str
    data: JsonObject = field(converter=_present_names)
    warnings: list[str] = field(factory=list)

    def _warn(self, member: str, reason: str) -> None:
        self.warnings.append(f"{self.name}: `{member}` {reason}")

    def whole(self, member: str) -> int | None:
        """Read a whole number, also from a text."""
        value = self.data.get(member)
        if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
            value = int(value)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        if value is not None and value != "":
            self._warn(member, "is not a whole number and is left out")
        return None

    def flag(self, member: str) -> bool | None:
        """Read a truth value, also from a word or a number."""
        value = self.data.get(member)
        if value is None or isinstance(value, bool):
            return value
        word = str(value).strip().lower() if isinstance(value, str | int) else None
        if word in _TRUE or word in _FALSE:
            return word in _TRUE
        self._warn(member, "is neither true nor false and is left out")
        return None

    def disabled(self) -> bool:
        """Read whether the account is switched off; anything but a clear "no" counts as off."""
        known = len(self.warnings)
        value = self.flag("disabled")
        if len(self.warnings) > known:
            self.warnings[-1] = f"{self.name}: `disabled` is neither true nor false; the account is not used"
            return True
        return bool(value)

    def proxy(self) -> Secret | None:
        """Read the proxy; a wrong one is kept, so that the account fails rather than going out directly."""
        url = text(self.data, "proxy_url").strip()
        if problem := proxy_problem(url):
            self._warn("proxy_url", f"{problem}; the account cannot be used")
        return Secret(url) if url else None

    def prefix(self) -> str:
        """Read the model prefix."""
        written = text(self.data, "prefix").strip("/ ")
        prefix = normal_prefix(written)
        if written and not prefix:
            self._warn("prefix", "has a slash inside and is left out")
        return prefix

    def headers(self) -> Mapping[str, str]:
        """Read the extra headers that can be sent."""
        written = child(self.data, "headers")
        kept = normal_headers({name: value for name, value in written.items() if isinstance(value, str)})
        if len(kept) < len(written):
            self._warn("headers", "holds fields that cannot be sent; they are left out")
        return kept

    def aliases(self) -> tuple[ModelEntry, ...]:
        """Read the file's own model aliases."""
        found = []
        for item in objects(self.data, "model_aliases"):
            name, alias = text(item, "name").strip(), text(item, "alias").strip()
            if name and alias and name != alias:
                found.append(_alias(name, alias, _present_names(item)))
            else:
                self._warn("model_aliases", "has an entry without name and alias; it is left out")
        return tuple(found)

    def error_rules(self) -> tuple[ErrorRule, ...]:
        """Read how certain errors are to be treated."""
        found = []
        for item in objects(self.data, "request_scoped_errors"):
            written = {name.replace("_", "-"): value for name, value in item.items()}
            rule = ScopedError(
                status=integer(written, "status") or 0,
                match=_one_or_more(written, "match"),
                match_regexr=_one_or_more(written, "match-regexr"),
                action=text(written, "action").strip().lower() or ScopedError().action,
            )
            if rule.action not in ERROR_ACTIONS:
                actions = ", ".join(ERROR_ACTIONS)
                self._warn("request_scoped_errors", f"has a rule with an action that is none of {actions}")
            elif any(faults_of(rule)):
                self._warn("request_scoped_errors", "has a rule with a pattern that is none; it is left out")
            else:
                found.append(rule)
        return compiled(found)


def _one_or_more(data: JsonObject, member: str) -> tuple[str, ...]:
    """Read texts, also where there is one without a list around it."""
    return (one,) if (one := text(data, member)) else tuple(strings(data, member))


def _alias(name: str, alias: str, said: JsonObject) -> ModelEntry:
    return ModelEntry(
        name=name,
        alias=alias,
        fork=bool(flag(said, "fork")),
        force_mapping=bool(flag(said, "force_mapping")),
        display_name=text(said, "display_name").strip(),
    )


# ------------------------------------------------------------------------------------------------- writing


def to_bytes(data: Mapping[str, JsonValue]) -> bytes:
    """Write a credential file: one member a line, so that people can read and compare it."""
    try:
        members = ",\n".join(f"  {dumps_text(name)}: {dumps_text(value)}" for name, value in data.items())
    except ValueError as exc:
        raise CredentialError("a number is too large for JSON; nothing is written") from exc
    return f"{{\n{members}\n}}\n".encode() if members else b"{}\n"


def merge_tokens(data: Mapping[str, JsonValue], patch: Mapping[str, JsonValue]) -> JsonObject:
    """Return a file's object with the outcome of a login or renewal in it.

    ``data`` is what is in the file *now*, so that an edit made meanwhile survives. The owner's settings
    stay as they are where the file has them. ``null`` and empty texts say nothing new: an answer without a
    refresh token keeps the old one, and an unknown e-mail address does not erase the known one.
    """
    merged = dict(data)
    present = {name.replace("-", "_") for name in data}
    for name, value in patch.items():
        if value is None or value == "":
            merged.setdefault(name, value)
        elif name in SETTINGS and name in present:
            continue
        elif name == TOKEN_OBJECT and isinstance(value, dict):
            merged[name] = merge_tokens(child(merged, name), value)
        else:
            merged[name] = value
    return merged
