"""The record of the demo provider: contracts over memory, two models, no login."""

from typing import Final

from attrs import frozen

from cliproxy.catalog.model import ModelInfo
from cliproxy.credentials.model import Credential, CredentialId, CredentialKind, TokenSlot
from cliproxy.dialects.base import Action, Framing
from cliproxy.errors import Failure
from cliproxy.ir.thinking import LEVELS, OFF, ThinkingSupport
from cliproxy.providers.base import Call, Contract, Provider
from cliproxy.providers.demo.media import answer_embeddings, answer_images
from cliproxy.providers.demo.model import CREATED, DemoAnswer, demo_answer
from cliproxy.providers.demo.reply import TALKER, THINKER
from cliproxy.wire.http import Headers, MemoryCall, UpstreamCall

KEY: Final = "demo"
OWNER: Final = "cliproxy-demo"


@frozen(kw_only=True)
class DemoContract:
    """One talent of the model in this process, by the name of its memory upstream."""

    id: str
    dialect: str
    action: Action
    framing: Framing
    needs: TokenSlot | None = None
    streams_only: bool = False

    def supports(self, action: Action) -> bool:
        """It does one thing; tokens are counted by estimate, as for any upstream that cannot count."""
        return action is self.action

    def prepare(self, call: Call) -> UpstreamCall:
        """Address the model; it wants nothing but the body."""
        headers = Headers({"Content-Type": call.content_type})
        return MemoryCall(target=self.id, body=call.body, headers=headers, stream=call.stream)

    def read_failure(self, _status: int, _headers: Headers, _body: bytes) -> Failure | None:
        """Add nothing: its errors say what they are."""
        return None


TALK: Final = DemoContract(id=KEY, dialect="openai", action=Action.GENERATE, framing=Framing.SSE)
EMBED: Final = DemoContract(
    id="demo-embeddings", dialect="openai", action=Action.EMBED, framing=Framing.WHOLE
)
DRAW: Final = DemoContract(
    id="demo-images", dialect="openai-images", action=Action.IMAGE, framing=Framing.WHOLE
)


def contracts_for(_credential: Credential, _model: str, _action: Action) -> tuple[Contract, ...]:
    """Return a contract for each talent."""
    return (TALK, EMBED, DRAW)


def static_models(_credential: Credential) -> tuple[ModelInfo, ...]:
    """Return both models. They take every level of reasoning, so that no client is refused."""
    thinking = ThinkingSupport(levels=(OFF, *LEVELS), zero_allowed=True, dynamic_allowed=True)
    described = {
        TALKER: "Built-in demo (not a real model)",
        THINKER: "Built-in demo that always thinks (not a real model)",
    }
    return tuple(
        ModelInfo(
            id=name,
            display_name=label,
            owned_by=OWNER,
            created=CREATED,
            description="Imitates a model without any account. Ask it for `help`.",
            context_tokens=128_000,
            output_tokens=16_000,
            thinking=thinking,
            demo=True,
        )
        for name, label in described.items()
    )


def demo_credential() -> Credential:
    """Return the credential that puts the demo model on offer.

    Its errors are made to order and say nothing about its health, so they neither cool it down nor are tried
    again.
    """
    return Credential(
        id=CredentialId(KEY),
        provider=KEY,
        kind=CredentialKind.RUNTIME,
        label="Built-in demo (not a real model)",
        disable_cooling=True,
        request_retry=0,
        source="built in",
    )


def answer_call(call: MemoryCall) -> DemoAnswer:
    """Answer a call over memory."""
    return demo_answer(call.body, stream=call.stream)


PROVIDER: Final = Provider(
    key=KEY,
    label="Built-in demo",
    contracts_for=contracts_for,
    static_models=static_models,
    caches_prompts=False,
    memory={TALK.id: answer_call, EMBED.id: answer_embeddings, DRAW.id: answer_images},
    summary="A model that imitates, for trying the server without an account",
)
