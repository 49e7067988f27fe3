"""GitLab's AI gateway: a proxy to Claude and OpenAI that takes GitLab's short-lived tokens.

A token comes with headers that must accompany every request; the gateway compares them with what the token
was issued for. It never wants the vendor's own key header. What lies behind is the strict emulator of the
vendor.
"""

import re

from attrs import Factory, define, evolve, field

from emulators.claude import Claude
from emulators.openai import OpenAi
from emulators.values import (
    Answer,
    Clock,
    Family,
    Ids,
    JsonObject,
    Ready,
    Refusal,
    Request,
    as_list,
    as_object,
    as_text,
    json_answer,
    loads,
)

_PATHS = re.compile(r"^(?:/ai)?/v1/proxy/(anthropic|openai)(/v1/.+)$")
FORBIDDEN = "Forbidden by auth provider"


@define(eq=False, kw_only=True)
class GatewayToken:
    """A token of the gateway and the headers that belong to it."""

    value: str
    headers: dict[str, str]
    expires_at: float
    tier: str
    """`code_suggestions` or `agent`: which endpoint handed it out."""
    revoked: bool = False


@define(eq=False)
class Gateway:
    """Issues tokens and forwards requests that carry a good one."""

    clock: Clock
    settings: JsonObject
    ids: Ids = Factory(Ids)
    tokens: dict[str, GatewayToken] = Factory(dict)
    vendors: dict[str, Family] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.vendors = {
            "anthropic": Claude(self.clock, authorize=self._authorize),
            "openai": OpenAi(self.clock, authorize=self._authorize),
        }

    def reset(self) -> None:
        """Forget all tokens."""
        self.tokens.clear()

    def issue(self, tier: str, headers: dict[str, str], life: float) -> GatewayToken:
        """A new token."""
        value = self.ids.next(f"gateway-{tier.replace('_', '-')}-", 24)
        expires_at = float(int(self.clock() + life))
        token = GatewayToken(value=value, headers=headers, expires_at=expires_at, tier=tier)
        self.tokens[value] = token
        return token

    def revoke(self, what: str) -> None:
        """Kill tokens: all (`gateway`), those of a tier, or one by its value."""
        for token in self.tokens.values():
            token.revoked = token.revoked or what in {"gateway", token.tier, token.value}

    def vendor_of(self, request: Request) -> tuple[Family, Request] | None:
        """The vendor's service and the request as it sees it, if this is a gateway path."""
        found = _PATHS.match(request.path)
        if found is None:
            return None
        _, mark, query = request.target.partition("?")
        return self.vendors[found.group(1)], evolve(request, target=found.group(2) + mark + query)

    def receive(self, request: Request) -> Ready:
        """Check token and headers, then let the vendor's rules decide."""
        routed = self.vendor_of(request)
        if routed is None:
            raise _refuse(404, "Not Found")
        family, inner = routed
        return family.receive(inner)

    def failure(self, request: Request, status: int, details: JsonObject) -> Answer:
        """The gateway's own error for questions of access, the vendor's for everything else."""
        routed = self.vendor_of(request)
        if status in {401, 403} or routed is None:
            return json_answer({"error": as_text(details.get("message")) or FORBIDDEN}, status)
        return routed[0].failure(routed[1], status, details)

    def _authorize(self, request: Request) -> None:
        """Called by the vendor's emulator in place of its own key check."""
        if request.header("x-api-key") is not None:
            raise _refuse(400, "x-api-key must not be sent to the gateway")
        token = self.tokens.get(request.bearer() or "")
        if token is None:
            raise _refuse(401, FORBIDDEN)
        if token.revoked:
            raise _refuse(401, "Token revoked")
        if self.clock() >= token.expires_at:
            raise _refuse(401, "Token expired")
        for name, value in token.headers.items():
            if value and name.lower() != "x-api-key" and request.header(name) != value:
                raise _refuse(401, f"Header mismatch '{name}'")
        self._check_model(request)

    def _check_model(self, request: Request) -> None:
        try:
            model = as_object(loads(request.body)).get("model")
        except ValueError:
            return
        if model in as_list(self.settings["refused_models"]):
            raise _refuse(403, f"Model {model} is not allowed for this token")


def _refuse(status: int, text: str) -> Refusal:
    return Refusal(json_answer({"error": text}, status), text)
