"""What a client may use: some of the models, at some of the upstreams.

An allowance is a value, so that everybody with the same one shares a view of the registry
(:meth:`cliproxy.catalog.registry.Registry.visible`). What it does not cover does not exist for its holder: it
is in no list, and asking for it is asking for an unknown model.

Patterns are about the names that clients use, prefix included and thinking suffix excluded; ``*`` stands for
anything, and case does not count. Upstreams are named as in ``upstream://model``: by their provider, or by
the name that the owner has given to an OpenAI-compatible one.
"""

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Final

from attrs import field, frozen

from cliproxy.credentials.model import Credential


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Tell whether a model's name is like one of the patterns. Only ``*`` is special in them."""
    plain = name.lower()
    return any(fnmatchcase(plain, _literal(pattern.lower())) for pattern in patterns)


def _literal(pattern: str) -> str:
    """Take their meaning from the other characters that the standard library gives one."""
    return pattern.replace("[", "[[]").replace("?", "[?]")


def names_of(credential: Credential) -> frozenset[str]:
    """Return what an owner may call a credential's upstream, in lower case: its provider, or the name of its
    entry."""
    given = credential.options.get("name")
    return frozenset(
        {credential.provider, given.lower()} if isinstance(given, str) else {credential.provider}
    )


def _patterns(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted({clean for text in texts if (clean := text.strip().lower())}))


@frozen(kw_only=True)
class Allowance:
    """Models and upstreams that may be used. Empty: all of them."""

    models: tuple[str, ...] = field(default=(), converter=_patterns)
    """Patterns of client names, in normal form: two allowances that say the same are equal."""
    providers: tuple[str, ...] = field(default=(), converter=_patterns)
    """Names of upstreams."""

    @property
    def is_everything(self) -> bool:
        """Whether nothing is kept from its holder."""
        return not self.models and not self.providers

    def allows(self, model: str, *upstream: str) -> bool:
        """Tell whether a client's model name may be used at an upstream, given by all its names."""
        return self.allows_model(model) and (
            not self.providers or any(name.lower() in self.providers for name in upstream)
        )

    def allows_model(self, model: str) -> bool:
        """Tell whether a client's model name may be used somewhere."""
        return not self.models or matches(model, self.models)


EVERYTHING: Final = Allowance()
