"""The account's models, as the service lists them.

The list has more than models to talk to: completions for the editor (``tab_…``, ``chat_…``), and names that
it shows but does not answer under. What the list leaves out is known from the bundled data.
"""

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Final

from attrs import evolve

from cliproxy.catalog import static
from cliproxy.catalog.model import ModelInfo
from cliproxy.credentials.model import Credential, Token, TokenSlot
from cliproxy.errors import LoginError
from cliproxy.ir.signatures import family_of_model
from cliproxy.login.steps import Flow
from cliproxy.providers.antigravity.account import KEY
from cliproxy.providers.antigravity.contracts import WAYS
from cliproxy.providers.gemini_cli.contracts import project_of
from cliproxy.providers.gemini_cli.setup import code_assist
from cliproxy.wire.jsontext import JsonObject, child, integer, text

_NOT_TALKED_TO: Final = ("chat_*", "tab_*", "gemini-2.5-flash-thinking", "gemini-2.5-pro")


def static_models(credential: Credential) -> tuple[ModelInfo, ...]:
    """Return the bundled models; they count until the service has told its own."""
    return static.models_of(credential, KEY)


def discover(credential: Credential, tokens: Mapping[TokenSlot, Token]) -> Flow[tuple[ModelInfo, ...]]:
    """Ask for the account's models, at the next host if the first does not answer. Raises
    :class:`~cliproxy.errors.LoginError`."""
    token = tokens[TokenSlot.ACCOUNT]
    body: JsonObject = {"project": project_of(credential, token)}
    bases = [credential.base_url] if credential.base_url else [way.base_url for way in WAYS]
    *others, last = bases
    for base in others:
        try:
            answer = yield from code_assist(token.value, "fetchAvailableModels", dict(body), base)
        except LoginError:
            continue
        return tuple(models_in(answer))
    answer = yield from code_assist(token.value, "fetchAvailableModels", body, last)
    return tuple(models_in(answer))


def models_in(answer: JsonObject) -> Iterator[ModelInfo]:
    """Read a list."""
    models = child(answer, "models")
    for name in models:
        if any(fnmatchcase(name, pattern) for pattern in _NOT_TALKED_TO):
            continue
        facts = child(models, name)
        known = static.find(name, KEY) or ModelInfo(id=name, owned_by=KEY, family=family_of_model(name))
        yield evolve(
            known,
            id=name,
            display_name=text(facts, "displayName") or known.display_name,
            context_tokens=integer(facts, "maxTokens") or known.context_tokens,
            output_tokens=integer(facts, "maxOutputTokens") or known.output_tokens,
        )
