"""The demo provider's record."""

import json

import pytest

from cliproxy.dialects.base import Action, Framing
from cliproxy.providers.base import Call
from cliproxy.providers.demo import PROVIDER, demo_credential
from cliproxy.wire.http import Headers, MemoryCall

CREDENTIAL = demo_credential()


def call(body: bytes = b"{}", *, stream: bool = False) -> Call:
    return Call(
        credential=CREDENTIAL, token=None, model="demo", action=Action.GENERATE, body=body, stream=stream
    )


def test_models_are_labelled_as_what_they_are():
    models = PROVIDER.static_models(CREDENTIAL)
    assert [model.id for model in models] == ["demo", "demo-thinking"]
    assert all(model.demo and "not a real model" in model.display_name for model in models)
    assert {model.owned_by for model in models} == {"cliproxy-demo"}


def test_every_level_of_reasoning_is_taken():
    for model in PROVIDER.static_models(CREDENTIAL):
        assert model.thinking is not None
        assert {"none", "minimal", "max"} <= set(model.thinking.levels)
        assert model.thinking.can_stop
        assert model.thinking.can_decide


def test_contract():
    contract, *others = PROVIDER.contracts_for(CREDENTIAL, "demo", Action.GENERATE)
    assert (contract.id, contract.dialect, contract.framing) == ("demo", "openai", Framing.SSE)
    assert contract.needs is None
    assert not contract.streams_only
    assert [action for action in Action if contract.supports(action)] == [Action.GENERATE]
    assert [(other.id, other.dialect, other.framing) for other in others] == [
        ("demo-embeddings", "openai", Framing.WHOLE),
        ("demo-images", "openai-images", Framing.WHOLE),
    ]
    assert [[action for action in Action if other.supports(action)] for other in others] == [
        [Action.EMBED],
        [Action.IMAGE],
    ]
    assert contract.read_failure(429, Headers(), b"{}") is None


@pytest.mark.parametrize("stream", [False, True])
def test_prepared_call_is_answered_by_the_memory_upstream(stream):
    contract, *_ = PROVIDER.contracts_for(CREDENTIAL, "demo", Action.GENERATE)
    body = json.dumps({"messages": [{"role": "user", "content": "hi"}]}).encode()
    prepared = contract.prepare(call(body, stream=stream))
    assert isinstance(prepared, MemoryCall)
    reply = PROVIDER.memory[prepared.target](prepared)
    assert reply.status == 200
    assert ("event-stream" in reply.headers.get("content-type")) is stream


def test_credential_is_not_cooled_down_by_errors_made_to_order():
    assert CREDENTIAL.provider == PROVIDER.key
    assert CREDENTIAL.disable_cooling
    assert CREDENTIAL.request_retry == 0
