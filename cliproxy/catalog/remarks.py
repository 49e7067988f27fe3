"""What an owner should know about the names he has given: which of them do nothing, and which take another's
place.

Names collide in two ways inside an account. An alias may be called like a model that the account has: the
alias wins, since the owner has written it, and the model cannot be asked for any more. And two aliases may
have one name: the more particular one wins, that of the account's file before that of the configuration. An
alias of a model that no account has leads nowhere. None of this is an error, and all of it may be meant; but
whoever did not mean it would look for it in vain.

Accounts of a provider usually share their names, so remarks are made for each provider, with the number of
accounts.
"""

from collections import Counter
from collections.abc import Iterator

from attrs import define, field

from cliproxy.catalog.offers import Names, Offer
from cliproxy.credentials.model import ModelEntry

Said = tuple[str, str, str, str]
"""Provider, name, what it would have meant, what it means."""


@define(eq=False)
class Remarks:
    """Collects remarks while the registry is built."""

    _hidden: Counter[Said] = field(factory=Counter, init=False)
    _outranked: Counter[Said] = field(factory=Counter, init=False)
    _leading: set[tuple[str, str, str]] = field(factory=set, init=False)
    """Provider, name and model of aliases that lead somewhere."""
    _astray: dict[tuple[str, str, str], None] = field(factory=dict, init=False)
    """The same of those that do not, for some account."""

    def take(self, offer: Offer, names: Names) -> None:
        """Learn what became of the names of an account."""
        provider = offer.credential.provider
        for entry in names.hidden:
            wins = (each for each in names.served if each.client_name == entry.client_name)
            self._hidden[provider, entry.client_name, entry.name, _models(wins)] += 1
        for entry in names.outranked:
            wins = (each for each in offer.aliases if each.client_name.lower() == entry.client_name.lower())
            self._outranked[provider, entry.client_name, entry.name, next(wins).name] += 1
        for entry in () if offer.credential.disabled else offer.aliases:
            alias = (provider, entry.client_name, entry.name)
            if entry in names.astray:
                self._astray[alias] = None
            else:
                self._leading.add(alias)

    def collisions(self) -> Iterator[str]:
        """Yield a line for each name that something else has."""
        for (provider, name, model, winner), count in self._hidden.items():
            yield (
                f"{provider}: `{name}` means {winner}, because an alias goes before a model's own name; "
                f"the model {model} cannot be asked for under it{_of(count)}"
            )
        for (provider, name, model, winner), count in self._outranked.items():
            yield (
                f"{provider}: the alias `{name}` of `{model}` is not used, because an earlier one of that "
                f"name is for `{winner}`{_of(count)}"
            )

    def astray(self) -> Iterator[tuple[str, str]]:
        """Yield a provider and a line for each alias that leads nowhere.

        That is only certain once upstreams have been asked for their models.
        """
        for provider, name, model in self._astray.keys() - self._leading:
            yield (
                provider,
                f"{provider}: the alias `{name}` leads nowhere: no account may serve a model `{model}`",
            )


def _models(entries: Iterator[ModelEntry]) -> str:
    return " and ".join(f"`{entry.name}`" for entry in entries)


def _of(count: int) -> str:
    return f" ({count} accounts)" if count > 1 else ""
