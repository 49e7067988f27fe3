"""Which ways to a model an account has, and why not the others.

Logins, checks and the search for models ask the same question. Two gateways are asked for a token each. Where
neither opens, GitLab's own text endpoints are tried with a small request, as far as the asker wants to know.

A failure is about one way. Only a missing scope is about the token itself; it is raised at once.
"""

from collections.abc import Callable
from typing import Final

from attrs import define, field

from cliproxy.credentials.model import Token
from cliproxy.errors import LoginError
from cliproxy.login.steps import Flow, Send
from cliproxy.providers.gitlab.access import AGENT_WHAT, GATEWAY_WHAT, ask_agent_platform, ask_gateway
from cliproxy.providers.gitlab.instance import SEAT_HINT, api_call, duo_error
from cliproxy.wire.jsontext import JsonObject
from cliproxy.wire.secret import Secret

REST_WHAT: Final = "GitLab's text endpoints"
REST_MEANS: Final = "no tools, no images, and GitLab chooses the model"
_CLOSED: Final = frozenset({"no_seat", "disabled", "not_available", "token_rejected"})
"""Codes of refusals that are meant; the others may be over in a moment."""
_OFF: Final = frozenset({"disabled", "not_available"})
_PROBES: Final[tuple[tuple[str, JsonObject], ...]] = (
    (
        "/code_suggestions/completions",
        {
            "current_file": {
                "file_name": "probe.py",
                "content_above_cursor": "def add(a, b):\n    ",
                "content_below_cursor": "",
            },
            "intent": "completion",
            "stream": False,
        },
    ),
    ("/chat/completions", {"content": "Say hello.", "with_clean_history": True}),
)
"""The text endpoints, each with a request that costs little."""


@define
class Tiers:
    """What was found out, in order of preference."""

    open: list[str] = field(factory=list)
    """Ways that are there, for people."""
    missing: dict[str, LoginError] = field(factory=dict)
    """Ways that are not, and why."""
    gateway: Token | None = None
    """The token of the Code Suggestions gateway."""

    @property
    def has_gateway(self) -> bool:
        """Whether a model gateway is open to the account."""
        return AGENT_WHAT in self.open or GATEWAY_WHAT in self.open

    @property
    def are_closed(self) -> bool:
        """Whether everything that was asked was refused, and none of it for the moment only."""
        return not self.open and all(error.code in _CLOSED for error in self.missing.values())

    @property
    def are_off(self) -> bool:
        """Whether the gateways are closed, and one of them for everybody: the text endpoints are what is
        left. An account that is merely refused may have nothing at all, and its owner should learn why."""
        return self.are_closed and any(error.code in _OFF for error in self.missing.values())

    def reasons(self, instance: str) -> str:
        """Say why what is missing is missing; the instance, which all of it is about, is not repeated."""
        said = (error.message.replace(f" on {instance}", "") for error in self.missing.values())
        return "; ".join(dict.fromkeys(said))


def find_tiers(instance: str, account: Secret) -> Flow[Tiers]:
    """Ask both gateways. Raises :class:`~cliproxy.errors.LoginError` for a missing scope only."""
    tiers = Tiers()
    yield from _ask(tiers, AGENT_WHAT, ask_agent_platform, instance, account)
    tiers.gateway = yield from _ask(tiers, GATEWAY_WHAT, ask_gateway, instance, account)
    return tiers


def _ask(
    tiers: Tiers, what: str, ask: Callable[[str, Secret], Flow[Token]], instance: str, account: Secret
) -> Flow[Token | None]:
    try:
        token = yield from ask(instance, account)
    except LoginError as exc:
        tiers.missing[what] = _about(exc, what)
        return None
    tiers.open.append(what)
    return token


def _about(error: LoginError, what: str) -> LoginError:
    if error.code == "missing_scope":
        raise error
    if what in error.message:
        return error
    return LoginError(f"{what}: {error.message}", code=error.code, hint=error.hint, status=error.status)


def find_text_endpoints(tiers: Tiers, instance: str, account: Secret) -> Flow[None]:
    """Look for a text endpoint that answers.

    Raises :class:`~cliproxy.errors.LoginError`, with the reasons for everything, when nothing at all is open.
    """
    for path, body in _PROBES:
        answer = yield Send(api_call(instance, path, account, body=body))
        if answer.is_success:
            tiers.open.append(REST_WHAT)
            tiers.missing.pop(REST_WHAT, None)
            return
        tiers.missing[REST_WHAT] = _about(duo_error(answer, instance, REST_WHAT), REST_WHAT)
    raise _nothing_works(tiers, instance)


def _nothing_works(tiers: Tiers, instance: str) -> LoginError:
    reasons, last = tiers.reasons(instance), tiers.missing[REST_WHAT]
    if not tiers.are_closed:
        return LoginError(
            f"GitLab Duo on {instance} does not answer at present: {reasons}",
            code="unreachable",
            status=last.status,
            hint="Try again later.",
        )
    return LoginError(
        f"the account can sign in to {instance}, but has no way to GitLab Duo: {reasons}",
        code="no_seat",
        status=last.status,
        hint=SEAT_HINT,
    )
