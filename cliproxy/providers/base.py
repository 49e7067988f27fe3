"""The contract of a provider: an upstream family as a record of declarations.

A provider module says, in this order: what the wire looks like, its constants, its login flow, its contracts,
where its models come from, its quirks, and at the end ``PROVIDER = Provider(…)``. It does no I/O and knows no
clock: requests are *prepared* here and sent elsewhere; logins, token renewals and model discovery are flows
of :mod:`cliproxy.login.steps`.

A **contract** is one way of reaching the upstream: URL, headers, dialect, token slot. A credential may have
several for one model, in order of preference; a failure of scope ``contract`` or ``host`` moves on to the
next one of the same credential.
"""

from collections.abc import Callable, Mapping
from typing import Protocol

from attrs import field, frozen

from cliproxy.catalog.model import ModelInfo
from cliproxy.config.sections import Section
from cliproxy.credentials.files import CredentialCodec
from cliproxy.credentials.model import Credential, Token, TokenSlot
from cliproxy.dialects.base import Action, Framing
from cliproxy.errors import Failure
from cliproxy.ir.context import ExchangeContext
from cliproxy.ir.request import IRRequest
from cliproxy.login.rates import RateRule
from cliproxy.login.steps import Flow
from cliproxy.wire.http import Headers, MemoryUpstream, UpstreamCall
from cliproxy.wire.jsontext import JsonObject, JsonValue

Pass = Callable[[IRRequest, ExchangeContext], IRRequest]


def no_facts(_credential: Credential) -> tuple[str, ...]:
    """Say nothing about an account."""
    return ()


def no_plan(_credential: Credential) -> str:
    """Make no difference between plans."""
    return ""


def as_one(credential: Credential) -> tuple[Credential, ...]:
    """Return a credential as what it is: one."""
    return (credential,)


@frozen(kw_only=True)
class Call:
    """One attempt, ready to be turned into a request."""

    credential: Credential
    token: Token | None
    """The token of the slot the contract needs; ``None`` when the contract needs none."""
    model: str
    """Upstream model name."""
    action: Action
    body: bytes = field(repr=False)
    """Already in the contract's dialect; for filling in the middle, the client's text completion request."""
    stream: bool
    content_type: str = "application/json"
    """Of the body."""
    client_headers: Mapping[str, str] = field(factory=dict, repr=False)
    """Lower-case names; credentials removed."""
    request_id: str = ""
    user_agent: str = ""
    now: float = 0.0
    """Unix seconds, for upstreams that want the time signed."""
    nonce: str = ""
    """Random hex digits of this attempt alone, as many as an UUID has."""


def own_headers(call: Call) -> dict[str, str]:
    """Return the extra headers of the credential; a value ``$Name`` copies the client's header of that name.

    They replace the contract's own. A header that the client did not send is left out.
    """
    fields = {"User-Agent": call.user_agent} if call.user_agent else {}
    for name, value in call.credential.headers.items():
        copied = call.client_headers.get(value[1:].lower(), "") if value.startswith("$") else value
        if name.strip() and copied.strip():
            fields[name.strip()] = copied.strip()
    return fields


class Contract(Protocol):
    """One way of reaching an upstream."""

    @property
    def id(self) -> str:
        """Short stable name for status displays, such as ``anthropic-gateway``."""
        ...

    @property
    def dialect(self) -> str:
        """Id of the dialect the upstream speaks here."""
        ...

    @property
    def framing(self) -> Framing: ...

    @property
    def needs(self) -> TokenSlot | None: ...

    @property
    def streams_only(self) -> bool:
        """The upstream only streams; one-body answers are collected from the stream."""
        ...

    def supports(self, action: Action) -> bool: ...

    def prepare(self, call: Call) -> UpstreamCall: ...

    def read_failure(self, status: int, headers: Headers, body: bytes) -> Failure | None:
        """Read an error answer the generic table would misjudge; ``None`` lets the table decide."""
        ...


@frozen(kw_only=True)
class CallLimit:
    """How often an upstream takes calls from one account; contracts that share a limit share its name."""

    name: str
    """For people, and what tells limits apart."""
    rule: RateRule


@frozen(kw_only=True)
class SlotPolicy:
    """How the token of one slot comes to be and is renewed."""

    initial: Callable[[Credential], Token | None]
    """The token the credential already has, from its file or configuration entry."""
    renew: Callable[[Credential, Mapping[TokenSlot, Token]], Flow[Token]] | None = None
    """Make a new one; receives the current tokens of the other slots. ``None``: cannot be renewed."""
    depends_on: TokenSlot | None = None
    """A slot that must be fresh first."""
    lead_s: float = 300.0
    """Renew this long before the end."""
    background: bool = False
    """Renew in the background when due, rather than on first use after that."""
    rates: tuple[RateRule, ...] = ()
    """How often a new one may be asked for, for each credential."""


@frozen(kw_only=True)
class Login:
    """A way to log in, with the command-line flag that starts it."""

    flag: str
    """Without dashes: ``gitlab-login``."""
    summary: str
    flow: Callable[["LoginInputs"], Flow["LoginResult"]]
    callback_port: int | None = None
    name: str = ""
    """Name in ``login <provider> --method NAME`` when a provider has several; the first is the default."""


@frozen(kw_only=True)
class Import:
    """Where a vendor's own program keeps its login, and how it becomes a credential file of ours."""

    program: str
    """For messages: ``Codex CLI``."""
    directory: str
    """Below the owner's home directory."""
    file: str
    """Below that directory; one JSON object."""
    home: str = ""
    """Environment variable that names the directory when it is elsewhere."""
    flow: Callable[[JsonObject, "LoginInputs"], Flow["LoginResult"]]
    """Makes a credential file of the program's. It may ask the vendor or the owner for what the file lacks,
    and must not renew the tokens: they are still the program's."""
    rotates: bool = True
    """A renewal takes back the old refresh token, so that sharing a login ends it for one of both."""


@frozen(kw_only=True)
class LoginInputs:
    """What a login flow gets from its caller: explicit settings and sources of chance and time."""

    options: Mapping[str, str] = field(factory=dict)
    """Such as ``gitlab-url`` or ``project_id``; absent keys are asked for."""
    random_token: Callable[[], str] = field(repr=False)
    """A fresh URL-safe random text of at least 256 bits."""
    now: Callable[[], float]
    """Unix seconds."""
    oauth_clients: Mapping[str, Mapping[str, str]] = field(factory=dict, repr=False)
    files: Mapping[str, Mapping[str, JsonValue]] = field(factory=dict, repr=False)
    """The credential files there are already, by name: some logins must not be made twice."""


@frozen(kw_only=True)
class LoginResult:
    """A finished login: the credential file to write."""

    file_name: str
    data: Mapping[str, JsonValue] = field(repr=False)
    label: str = ""
    notes: tuple[str, ...] = ()
    """Things the owner should know, such as a tier that is not available."""


@frozen(kw_only=True)
class Provider:
    """An upstream family. Everything else about it is derived from this record."""

    key: str
    label: str
    contracts_for: Callable[[Credential, str, Action], tuple[Contract, ...]]
    """(credential, upstream model, action) → contracts in order of preference."""
    static_models: Callable[[Credential], tuple[ModelInfo, ...]]
    """Models known without asking; used until, and merged with, what discovery finds."""
    plan_of: Callable[[Credential], str] = no_plan
    """The plan of an account, as sections of the catalogue name it, where models depend on it."""
    discover: Callable[[Credential, Mapping[TokenSlot, Token]], Flow[tuple[ModelInfo, ...]]] | None = None
    discover_needs: TokenSlot | None = None
    check: Callable[[Credential, Mapping[TokenSlot, Token]], Flow[tuple[str, ...]]] | None = None
    """Look at what the account can do and say it in lines for its owner."""
    facts: Callable[[Credential], tuple[str, ...]] = no_facts
    """What a credential says about its account that its owner wants to see beside its name, such as the plan;
    nobody is asked for it."""
    slots: Mapping[TokenSlot, SlotPolicy] = field(factory=dict)
    limits: Mapping[str, CallLimit] = field(factory=dict)
    """Limits to respect without being told, by the id of the contract; most upstreams only tell."""
    logins: tuple[Login, ...] = ()
    oauth_client: str = ""
    """Key below ``oauth-clients`` where its logins look for an application of the owner's; empty: nowhere."""
    imports: tuple[Import, ...] = ()
    """Logins of the vendor's own programs that can be taken over."""
    expand: Callable[[Credential], tuple[Credential, ...]] = as_one
    """The credentials that a file or entry counts as when requests are routed. Those of an account that
    counts as several name it in ``part_of``: they share its tokens, and have pauses and quotas of their
    own."""
    codec: CredentialCodec | None = None
    """How its credential files are read; ``None``: it has none."""
    sections: tuple[Section, ...] = ()
    """Configuration lists it owns."""
    api_hosts: tuple[str, ...] = ()
    """Hosts its tokens may be sent to besides the credential's own base URL."""
    memory: Mapping[str, MemoryUpstream] = field(factory=dict)
    """Upstreams inside this process, by the target name of their calls."""
    quirks: tuple[Pass, ...] = ()
    """Repairs the upstream needs, applied before encoding."""
    caches_prompts: bool = True
    """The upstream recognises the beginnings of prompts it has seen from the same account, so that a
    conversation should stay with one. True of almost every upstream there is."""
    native_first: bool = False
    """A contract in the client's own dialect goes before the others, which are as good otherwise."""
    summary: str = ""
    """One line for the table of providers."""
