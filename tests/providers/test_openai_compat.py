"""OpenAI-compatible servers."""

import json

import pytest

from cliproxy.config.load import load_config
from cliproxy.credentials.model import Credential, CredentialId, CredentialKind, ModelEntry
from cliproxy.credentials.synthesis import synthesize
from cliproxy.dialects.base import Action, Framing
from cliproxy.errors import Scope
from cliproxy.ir.request import Family
from cliproxy.providers import PROVIDERS
from cliproxy.providers.base import Call
from cliproxy.providers.openai_compat import PROVIDER, base_of
from cliproxy.wire.formdata import FormData, Part
from cliproxy.wire.http import Headers, HttpCall
from cliproxy.wire.secret import Secret

BODY = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


def credential(**settings: object) -> Credential:
    defaults = {"api_key": Secret("sk-1"), "base_url": "https://llm.example/v1", "options": {"name": "llm"}}
    return Credential(
        id=CredentialId("c"), provider=PROVIDER.key, kind=CredentialKind.KEY, **{**defaults, **settings}
    )


def prepare(
    body: dict | FormData | None = None,
    *,
    action: Action = Action.GENERATE,
    stream: bool = False,
    **settings: object,
) -> HttpCall:
    owner = credential(**settings)
    [contract] = [c for c in PROVIDER.contracts_for(owner, "m", action) if c.supports(action)]
    is_form = isinstance(body, FormData)
    call = Call(
        credential=owner,
        token=None,
        model="m",
        action=action,
        body=body.raw if is_form else json.dumps(body or BODY).encode(),
        content_type=body.content_type if is_form else "application/json",
        stream=stream,
        client_headers={"x-team": "blue"},
        user_agent="cliproxy/1",
    )
    prepared = contract.prepare(call)
    assert isinstance(prepared, HttpCall)
    return prepared


def test_record():
    assert PROVIDER in PROVIDERS
    assert [section.key for section in PROVIDER.sections] == ["openai-compatibility"]
    assert PROVIDER.api_hosts == ()


def test_chat():
    call = prepare()
    assert (call.method, call.url, call.stream) == ("POST", "https://llm.example/v1/chat/completions", False)
    assert call.headers.get("authorization") == "Bearer sk-1"
    assert call.headers.get("content-type") == "application/json"
    assert call.headers.get("user-agent") == "cliproxy/1"
    assert "accept" not in call.headers
    assert json.loads(call.body) == BODY


def test_server_that_wants_no_key():
    assert "authorization" not in prepare(api_key=None).headers


def test_owners_headers_win_except_over_what_a_stream_needs():
    headers = {"Authorization": "Token x", "X-Team": "$X-Team", "Accept": "text/plain", "X-Gone": "$X-Gone"}
    call = prepare(stream=True, headers=headers)
    assert call.stream
    assert call.headers.get("authorization") == "Token x"
    assert call.headers.get("x-team") == "blue"
    assert call.headers.get("accept") == "text/event-stream"
    assert call.headers.get("cache-control") == "no-cache"
    assert "x-gone" not in call.headers


def test_compaction():
    call = prepare({"model": "m", "input": [], "stream": False}, action=Action.COMPACT)
    assert call.url == "https://llm.example/v1/responses/compact"
    assert json.loads(call.body) == {"model": "m", "input": []}


def test_embeddings():
    call = prepare({"model": "m", "input": "hi"}, action=Action.EMBED)
    assert (call.url, call.stream) == ("https://llm.example/v1/embeddings", False)
    assert json.loads(call.body) == {"model": "m", "input": "hi"}


def test_pictures():
    call = prepare({"model": "m", "prompt": "a cat"}, action=Action.IMAGE, stream=True)
    assert call.url == "https://llm.example/v1/images/generations"
    assert call.headers.get("accept") == "text/event-stream"
    edited = prepare({"prompt": "a cat", "images": [{"image_url": "https://a"}]}, action=Action.IMAGE)
    assert edited.url == "https://llm.example/v1/images/edits"


def test_a_form_keeps_its_bytes_and_its_type():
    form = FormData.of([Part(name="image", data=b'\x89PNG "prompt_cache_key"', filename="a.png")])
    call = prepare(form, action=Action.IMAGE)
    assert call.url == "https://llm.example/v1/images/edits"
    assert call.headers.get("content-type") == form.content_type
    assert call.body == form.raw


def test_a_model_that_only_draws_is_asked_for_pictures_in_a_conversation():
    models = (ModelEntry(name="painter", image=True), ModelEntry(name="m"))
    ways = PROVIDER.contracts_for(credential(models=models), "painter", Action.GENERATE)
    assert {way.dialect for way in ways} == {"openai-images"}
    [draw] = [way for way in ways if way.supports(Action.GENERATE)]
    assert draw.framing is Framing.WHOLE
    assert not any(way.supports(Action.EMBED) for way in ways)
    [info] = [info for info in PROVIDER.static_models(credential(models=models)) if info.id == "painter"]
    assert info.output_modalities == ("image",)


def test_contracts():
    chat, compact, embed, picture = PROVIDER.contracts_for(credential(), "m", Action.GENERATE)
    assert (embed.id, embed.dialect) == ("embeddings", "openai")
    assert (picture.id, picture.dialect) == ("images", "openai-images")
    assert (chat.id, chat.dialect, chat.framing, chat.needs, chat.streams_only) == (
        "chat",
        "openai",
        Framing.SSE,
        None,
        False,
    )
    assert (compact.id, compact.dialect) == ("compact", "openai-response")
    supported = {action for action in Action if chat.supports(action) or compact.supports(action)}
    assert supported == {Action.GENERATE, Action.COMPACT}
    assert chat.read_failure(429, Headers(), b"{}") is None


VENDOR = "https://api.openai.com/v1"


def test_tokens_are_counted_at_the_vendors():
    """Other servers do not know the address; their counts are estimates."""
    body = {"model": "m", "input": "hi", "stream": False, "store": True, "text": {"verbosity": "low"}}
    call = prepare(body, action=Action.COUNT, base_url=VENDOR)
    assert call.url == "https://api.openai.com/v1/responses/input_tokens"
    assert json.loads(call.body) == {"model": "m", "input": "hi", "text": {"verbosity": "low"}}
    others = PROVIDER.contracts_for(credential(), "m", Action.COUNT)
    assert not any(contract.supports(Action.COUNT) for contract in others)


@pytest.mark.parametrize(("status", "scope"), [(404, Scope.CONTRACT), (405, Scope.CONTRACT), (429, None)])
def test_missing_counter_says_nothing_about_the_model(status, scope):
    *_, counter = PROVIDER.contracts_for(credential(base_url=VENDOR), "m", Action.COUNT)
    failure = counter.read_failure(status, Headers(), b"{}")
    assert (failure and failure.scope) == scope


def test_no_address_no_contract():
    assert PROVIDER.contracts_for(credential(base_url=""), "m", Action.GENERATE) == ()


@pytest.mark.parametrize(
    "base",
    [
        "https://llm.example/v1",
        "https://llm.example/v1/",
        "https://llm.example/v1/chat/completions",
        "https://llm.example/v1/responses",
    ],
)
def test_address_as_owners_write_it(base):
    assert base_of(credential(base_url=base)) == "https://llm.example/v1"


@pytest.mark.parametrize(
    ("settings", "kept"),
    [
        ({}, False),
        ({"options": {"support-prompt-cache-key": True}}, True),
        ({"base_url": "https://api.openai.com/v1"}, True),
    ],
)
def test_cache_key_goes_only_where_it_is_understood(settings, kept):
    call = prepare({**BODY, "prompt_cache_key": "k"}, **settings)
    assert ("prompt_cache_key" in json.loads(call.body)) is kept


def test_cache_key_in_a_text_is_not_a_member():
    body = {**BODY, "messages": [{"role": "user", "content": 'say "prompt_cache_key"'}]}
    assert json.loads(prepare(body).body) == body


def test_models_are_those_of_the_entry():
    assert PROVIDER.static_models(credential()) == ()
    entries = (
        ModelEntry(name="gpt-oss"),
        ModelEntry(name="m", alias="a", thinking={"levels": ["low", "high"]}),
    )
    first, second = PROVIDER.static_models(credential(models=entries))
    assert (first.id, first.owned_by, first.family, first.thinking) == ("gpt-oss", "llm", Family.GPT, None)
    assert second.thinking is not None
    assert second.thinking.levels == ("low", "high")


def test_each_key_of_an_entry_is_a_credential():
    text = """
openai-compatibility:
  - name: llm
    base-url: https://llm.example/v1
    api-key-entries:
      - api-key: sk-1
      - api-key: sk-2
        proxy-url: socks5://127.0.0.1:1080
    models: [{name: m}]
  - name: open
    base-url: https://open.example/v1
    models: [{name: n, alias: o}]
"""
    found = synthesize(load_config(text).config, PROVIDER.sections)
    assert [(one.provider, one.base_url, bool(one.api_key), one.options["name"]) for one in found] == [
        (PROVIDER.key, "https://llm.example/v1", True, "llm"),
        (PROVIDER.key, "https://llm.example/v1", True, "llm"),
        (PROVIDER.key, "https://open.example/v1", False, "open"),
    ]
    assert len({one.id for one in found}) == 3
    assert [model.id for one in found for model in PROVIDER.static_models(one)] == ["m", "m", "n"]
