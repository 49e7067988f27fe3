"""Requests that go on from what an upstream has kept of earlier ones: with whom they have to go.

A client that names an earlier answer (``previous_response_id``) leaves the conversation to the account that
gave it; nobody else knows it. So the ids of answers are *tied* to the account they came from, as soon as they
are seen and before the client can use them, for as long as upstreams keep answers. Nothing but a digest of an
id is remembered, with the client's own id in it: what one client has kept is nothing that another can name.

* A tied request goes to its account and to nobody else. If the account cannot answer, the client is told in
  its dialect's words that the answer is not there any more, upon which clients send the whole conversation;
  leaving the reference out would lose it in silence.
* An id that is not known, of before a restart perhaps, may be anybody's. The request goes the usual way, and
  further to some others if it is refused for that reason alone. Such a refusal rests nobody.
"""

import hashlib
from collections.abc import Sequence
from typing import Final

from attrs import define, evolve, field

from cliproxy.catalog.registry import Candidate
from cliproxy.credentials.model import CredentialId
from cliproxy.dialects import by_id
from cliproxy.dialects.base import Action, ClientRequest, Kept
from cliproxy.errors import BadRequest, Failure, Kind, Scope
from cliproxy.routing.affinity import Bindings, Mark
from cliproxy.wire.jsontext import Document

KEPT_S: Final = 30 * 86400.0
"""How long an answer can be gone on from: upstreams keep them for a month."""
MOST_ASKED: Final = 8
"""Accounts that are asked for something of which nobody knows who keeps it."""
DIGEST_BYTES: Final = 16


@define(eq=False, kw_only=True)
class Ties:
    """What one request has to do with things that upstreams keep."""

    bindings: Bindings
    client_id: str
    named: tuple[Kept, ...]
    """What the request goes on from."""
    is_kept: bool
    """Whether the answer will be gone on from."""
    home: CredentialId | None = field(default=None, init=False)
    """Who keeps what is named; ``None``: nothing is named, or nobody knows."""

    def find(self, now: float) -> None:
        """Look up who keeps what is named."""
        routes = (self.bindings.get(self._mark(each.id), now) for each in self.named)
        self.home = next((route[0] for route in routes if route is not None), None)

    def among(self, candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
        """Return those of some candidates that the request may go to."""
        if self.home is None:
            return tuple(candidates)
        return tuple(each for each in candidates if each.credential.id == self.home)

    def remember(self, candidate: Candidate, answer_id: str, now: float) -> None:
        """Tie an answer, and what it went on from, to the account that gave it."""
        ids = [*([answer_id] if answer_id and self.is_kept else []), *(each.id for each in self.named)]
        for each in ids:
            self.bindings.bind(self._mark(each), candidate.key, now, KEPT_S)

    def judged(self, failure: Failure) -> Failure:
        """Return what a refusal means: one about something kept is a fault of the request, whatever the
        status."""
        if self._lacking(failure) is None:
            return failure
        return evolve(failure, kind=Kind.INVALID_REQUEST, scope=Scope.REQUEST)

    def may_be_elsewhere(self, failure: Failure, asked: int) -> bool:
        """Tell whether a request that was refused may be another account's."""
        return self.home is None and asked < MOST_ASKED and self._lacking(failure) is not None

    def lost(self) -> BadRequest | None:
        """Return the error that tells a client to send the whole conversation; ``None`` where nobody is known
        to have had it."""
        if self.home is None:
            return None
        kept = self.named[0]
        return BadRequest(
            f"{kept.what} with id '{kept.id}' not found. The account that keeps it cannot be used now; "
            "send the whole conversation.",
            code=kept.code,
            param=kept.where,
        )

    def _lacking(self, failure: Failure) -> Kept | None:
        if failure.kind not in {Kind.INVALID_REQUEST, Kind.NOT_FOUND}:
            return None
        said = (each for each in self.named if failure.code == each.code or each.id in failure.message)
        return next(said, None)

    def _mark(self, kept_id: str) -> Mark:
        digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
        for part in (self.client_id, kept_id):
            digest.update(f"{len(part)}:{part}".encode("utf-8", "surrogatepass"))
        return digest.digest()


def ties_of(request: ClientRequest, bindings: Bindings, now: float) -> Ties | None:
    """Return what a request has to do with things that upstreams keep; ``None``: nothing."""
    form = by_id(request.dialect).kept
    if form is None or not isinstance(request.document, Document):
        return None
    body = request.document.value
    named, is_kept = form.named(body), request.action is Action.GENERATE and form.keeps(body)
    if not named and not is_kept:
        return None
    ties = Ties(
        bindings=bindings,
        client_id=request.client_id,
        named=named,
        is_kept=is_kept,
    )
    ties.find(now)
    return ties
