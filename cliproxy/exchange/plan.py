"""How one attempt carries a request: passed through, or translated; and the request that results.

**Pass through** when client and upstream speak the same dialect, no quirk of the provider must change the
request, the upstream may answer in the form the client wants, and the answer need not show another model
name. The body keeps its bytes; only the top-level members that name the model, carry a thinking suffix, have
another name at the model, ask for usage in the stream, or that the owner's payload rules change are replaced.

The answer may pass through though the request did not: upstreams that take less than clients say often answer
in the very same events. That needs a stream, and that no tool had to be renamed.

**Translate** otherwise: decode once for the whole exchange, then for each attempt the ordered passes below,
then encode.

====  ==========================  ===================================================================
step  pass                        why in this place
====  ==========================  ===================================================================
1     thinking                    the wish becomes what the model supports, before budgets are used
2     sampling                    after thinking, which may set the limit of the answer
3     normalise                   pairing, merging, ids, names: what the target dialect demands
4     schemas                     after names are final, before encoding
5     quirks of the provider      last word about the request
6     payload rules of the owner  on the encoded body; also where it passes through
====  ==========================  ===================================================================

Embeddings are no conversation: they are decoded and encoded in values of their own, without passes.
"""

from collections.abc import Callable

from attrs import define, evolve, field, frozen

from cliproxy.catalog.registry import Candidate
from cliproxy.dialects import by_id
from cliproxy.dialects.base import (
    Action,
    ClientRequest,
    Dialect,
    EmbeddingForm,
    Framing,
    Glimpse,
    Portions,
    as_json,
)
from cliproxy.errors import BadRequest, DialectError
from cliproxy.exchange.deps import Deps, Snapshot
from cliproxy.exchange.payload import Occasion
from cliproxy.ir.context import ExchangeContext
from cliproxy.ir.repair import normalise
from cliproxy.ir.request import Family, IRRequest, Reasoning
from cliproxy.ir.response import Usage
from cliproxy.ir.sampling import without_refused
from cliproxy.ir.schema import clean_schemas
from cliproxy.ir.signatures import family_of_model
from cliproxy.ir.thinking import apply_thinking, is_understood, override
from cliproxy.ir.unsigned import without_signatures
from cliproxy.providers.base import Contract, Provider
from cliproxy.routing.resolve import Resolution
from cliproxy.wire.formdata import FormData
from cliproxy.wire.jsonpath import same
from cliproxy.wire.jsontext import Change, Changes, Delete, JsonObject, changes_between
from cliproxy.wire.veil import Veil


def forget(_answer_id: str) -> None:
    """Take the name of an answer that nobody will go on from."""


@frozen(kw_only=True)
class Plan:
    """One attempt, decided."""

    client: Dialect
    upstream: Dialect
    contract: Contract
    passes_through: bool
    body: bytes = field(repr=False)
    content_type: str = "application/json"
    stream: bool
    """Whether the upstream is asked to stream; always so for upstreams that only stream."""
    context: ExchangeContext = field(repr=False)
    streams_through: bool = False
    """A streamed answer passes through, although the request did not."""
    hides_usage: bool = False
    """Usage was asked for by us, not by the client: frames that carry nothing else are not forwarded."""
    veil: Veil = field(factory=Veil, repr=False)
    """Goes over everything the upstream says in an error."""
    embeds: bool = False
    """Embeddings are asked for."""
    remember: Callable[[str], None] = field(default=forget, repr=False)
    """Takes the name of the answer, before the client has it."""

    def inspect(self, answer: JsonObject) -> Glimpse:
        """Look at a whole answer of the upstream."""
        return (_form(self.upstream) if self.embeds else self.upstream).inspect_response(answer)

    def translate(self, answer: JsonObject) -> tuple[JsonObject, Usage]:
        """Turn a whole answer of the upstream into the client's; return it with what it cost.

        Raises :class:`~cliproxy.errors.DialectError`.
        """
        if self.embeds:
            vectors = _form(self.upstream).decode_response(answer)
            return _form(self.client).encode_response(vectors, self.context), vectors.usage
        response = self.upstream.decode_response(answer, self.context)
        return self.client.encode_response(response, self.context), response.usage

    @property
    def portions(self) -> Portions | None:
        """How to put the client's answer together if this one may be a portion of it."""
        if self.passes_through:
            return None
        return _form(self.client).portions if self.embeds else self.client.portions


def _differs(said: JsonObject, key: str, change: Change) -> bool:
    if isinstance(change, Delete):
        return key in said
    return key not in said or not same(said[key], change)


def _form(dialect: Dialect) -> EmbeddingForm:
    assert dialect.embeddings is not None, f"nobody embeds in {dialect.id}"
    return dialect.embeddings


@define(eq=False)
class Planner:
    """Makes the plans of one exchange; the request is decoded at most once."""

    request: ClientRequest
    resolution: Resolution
    deps: Deps
    snapshot: Snapshot
    _decoded: tuple[IRRequest, ExchangeContext] | None = field(default=None, init=False)

    def plan(self, candidate: Candidate, contract: Contract, *, unsigned: bool = False) -> Plan:
        """Decide how to carry the request over a contract; ``unsigned`` leaves reasoning signatures behind.

        Raises :class:`~cliproxy.errors.BadRequest`.
        """
        client = by_id(self.request.answer_dialect or self.request.dialect)
        upstream = by_id(contract.dialect)
        provider = self.snapshot.providers[candidate.credential.provider]
        context = self._context(candidate, upstream)
        stream = self._upstream_streams(contract)
        passes = (
            not ((candidate.shown_model and client.shows_model) or unsigned)
            and self._passes_through(client, upstream, contract, provider)
            and self._is_understood(candidate, client)
        )
        usage = (
            client.patch_stream(self.request.document.value)
            if passes and stream and client.patch_stream
            else {}
        )
        try:
            match self.request.action:
                case _ if passes:
                    body, kind = self._patched(candidate, client, usage), self.request.document.content_type
                case Action.FILL_IN_THE_MIDDLE:
                    # A request type of its own: the contract reads it as the client wrote it.
                    body, kind = self.request.document.raw, self.request.document.content_type
                case Action.EMBED:
                    body, kind = self._embedding(candidate, context)
                case _:
                    body, kind = self._translated(
                        candidate, provider, context, stream=stream, unsigned=unsigned
                    )
        except DialectError as exc:
            raise BadRequest(exc.message, param=exc.param) from exc
        return Plan(
            client=client,
            upstream=upstream,
            contract=contract,
            passes_through=passes,
            body=body,
            content_type=kind,
            stream=stream,
            context=context,
            streams_through=not candidate.shown_model
            and self._streams_through(client, upstream, provider, context),
            hides_usage=bool(usage),
            embeds=self.request.action is Action.EMBED,
        )

    def _upstream_streams(self, contract: Contract) -> bool:
        if contract.framing is Framing.WHOLE:
            return False
        return self.request.stream or (contract.streams_only and self.request.action is Action.GENERATE)

    def _passes_through(
        self, client: Dialect, upstream: Dialect, contract: Contract, provider: Provider
    ) -> bool:
        same = self.request.dialect == client.id == upstream.id and not provider.quirks
        return same and (self.request.stream or not contract.streams_only)

    def _streams_through(
        self, client: Dialect, upstream: Dialect, provider: Provider, context: ExchangeContext
    ) -> bool:
        same = self.request.dialect == client.id == upstream.answers_as and not provider.quirks
        return same and self.request.stream and not context.tool_names

    def _is_understood(self, candidate: Candidate, dialect: Dialect) -> bool:
        """Tell whether the model behind the name takes the body as the client wrote it."""
        body = self.request.document.value
        if dialect.may_pass is not None and not dialect.may_pass(body, candidate.model):
            return False
        if dialect.read_reasoning is None or self._wish(candidate) is not None:
            return True
        wish = dialect.read_reasoning(body)
        return wish is None or is_understood(wish, candidate.info.thinking, dialect.id)

    def _wish(self, candidate: Candidate) -> Reasoning | None:
        """Return the wish for reasoning that a name carries: the owner's, or else the client's."""
        return candidate.reasoning or self.resolution.reasoning

    def _patched(self, candidate: Candidate, dialect: Dialect, usage: Changes) -> bytes:
        document = self.request.document
        if self.request.action is Action.EMBED:
            return document.patch(
                self._differing(_form(dialect).patch_model(candidate.model, document.value))
            )
        changes = {**dialect.patch_model(candidate.model), **usage}
        if dialect.patch_refused is not None and candidate.info.refuses:
            changes |= dialect.patch_refused(document.value, candidate.info.refuses)
        if (named := self._wish(candidate)) is not None:
            wish = IRRequest(model=candidate.model, messages=[], reasoning=named)
            reasoning = apply_thinking(wish, candidate.info.thinking, dialect.id, source=dialect.id).reasoning
            if reasoning is not None:
                changes.update(dialect.patch_reasoning(reasoning, document.value))
        return document.patch(self._differing(self._with_rules(candidate, dialect, changes)))

    def _with_rules(self, candidate: Candidate, dialect: Dialect, changes: Changes) -> Changes:
        """Return the changes to a body that passes through, and what the owner's rules make of the result."""
        if self.snapshot.rules is None:
            return changes
        said = self.request.document.value
        gone = {key for key, change in changes.items() if isinstance(change, Delete)}
        body = {key: value for key, value in said.items() if key not in gone}
        body |= {key: change for key, change in changes.items() if not isinstance(change, Delete)}
        return changes_between(said, self._ruled(body, candidate, dialect))

    def _ruled(self, body: JsonObject, candidate: Candidate, upstream: Dialect) -> JsonObject:
        """Apply the owner's payload rules to a body for an upstream."""
        rules = self.snapshot.rules
        if rules is None or upstream.payload is None or self.request.action is not Action.GENERATE:
            return body
        client = by_id(self.request.dialect).payload
        occasion = Occasion(
            models=frozenset({candidate.model, self.resolution.name, self.request.model}),
            upstream=upstream.payload,
            client=client.names if client is not None else frozenset(),
            headers=self.request.headers,
        )
        return rules.apply(body, occasion)

    def _differing(self, changes: Changes) -> Changes:
        """Return the changes that change something."""
        said = self.request.document.value
        return {key: change for key, change in changes.items() if _differs(said, key, change)}

    def _embedding(self, candidate: Candidate, context: ExchangeContext) -> tuple[bytes, str]:
        form = _form(by_id(self.request.dialect))
        request = evolve(form.decode_request(self.request.document.value, context), model=candidate.model)
        return as_json(_form(by_id(context.upstream_dialect)).encode_request(request, context))

    def _translated(
        self,
        candidate: Candidate,
        provider: Provider,
        context: ExchangeContext,
        *,
        stream: bool,
        unsigned: bool,
    ) -> tuple[bytes, str]:
        upstream = by_id(context.upstream_dialect)
        request = evolve(self._decode(context), model=candidate.model, stream=stream)
        if unsigned:
            request = without_signatures(request)
        if (named := self._wish(candidate)) is not None:
            request = evolve(request, reasoning=override(named, request.reasoning))
        request = apply_thinking(
            request,
            candidate.info.thinking,
            upstream.id,
            source=self.request.dialect,
            max_output=candidate.info.output_tokens,
        )
        request = without_refused(request, candidate.info.refuses, context)
        request = normalise(request, upstream.rules, context)
        request = clean_schemas(request, upstream.rules.schemas, context)
        for quirk in provider.quirks:
            request = quirk(request, context)
        body = upstream.encode_request(request, context)
        return upstream.write_request(self._ruled(body, candidate, upstream))

    def decode(self) -> IRRequest:
        """Return the request as decoded, once. Raises :class:`~cliproxy.errors.DialectError`."""
        if self._decoded is None:
            learned = self._new_context()
            client = by_id(self.request.dialect)
            document = self.request.document
            body = document.value
            if isinstance(document, FormData) and client.read_form is not None:
                body = client.read_form(document)
            request = client.decode_request(body, learned)
            self._decoded = (request, learned)
        return self._decoded[0]

    def _decode(self, context: ExchangeContext) -> IRRequest:
        """Return the decoded request; what decoding learned goes into the context of every attempt."""
        request = self.decode()
        assert self._decoded is not None
        learned = self._decoded[1]
        context.original = request
        context.include_usage = learned.include_usage
        context.want_thoughts = learned.want_thoughts
        context.custom_tools = set(learned.custom_tools)
        context.namespaces = dict(learned.namespaces)
        context.notes = list(learned.notes)
        return request

    def _context(self, candidate: Candidate, upstream: Dialect) -> ExchangeContext:
        context = self._new_context()
        family = candidate.info.family
        context.upstream_dialect = upstream.id
        context.upstream_model = candidate.model
        context.upstream_output = candidate.info.output_tokens
        context.upstream_refuses = candidate.info.refuses
        context.shown_model = candidate.shown_model
        context.upstream_family = family_of_model(candidate.model) if family is Family.UNKNOWN else family
        return context

    def _new_context(self) -> ExchangeContext:
        return ExchangeContext(
            client_dialect=self.request.dialect,
            upstream_dialect="",
            requested_model=self.resolution.name,
            upstream_model="",
            now=self.deps.wall(),
            random_hex=self.deps.random_hex,
            stream=self.request.stream,
            original_body=self.request.document.value,
        )
