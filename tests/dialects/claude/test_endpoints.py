"""The routes: what is read, and what is refused by name."""

import pytest

from cliproxy.dialects.base import Action, PathFacts
from cliproxy.dialects.claude import DIALECT
from cliproxy.dialects.claude.endpoints import decode_count, encode_count, patch_model
from cliproxy.errors import BadRequest
from cliproxy.wire.jsontext import Document

MESSAGES, COUNT = DIALECT.endpoints
FACTS = PathFacts(query={"beta": "true"}, headers={"anthropic-version": "2023-06-01"})


def test_paths() -> None:
    assert [(endpoint.method, endpoint.path) for endpoint in DIALECT.endpoints] == [
        ("POST", "/v1/messages"),
        ("POST", "/v1/messages/count_tokens"),
    ]


def test_a_request_keeps_headers_query_and_body() -> None:
    document = Document.parse(b'{"model":"claude-opus-4-8(high)","stream":true,"messages":[]}')
    request = MESSAGES.read(document, FACTS)
    assert (request.dialect, request.action, request.stream) == ("claude", Action.GENERATE, True)
    assert request.model == "claude-opus-4-8(high)"
    assert request.document is document
    assert (request.headers, request.query) == (FACTS.headers, FACTS.query)


def test_a_count_never_streams() -> None:
    request = COUNT.read(Document.parse(b'{"model":"m","stream":true}'), FACTS)
    assert (request.action, request.stream) == (Action.COUNT, False)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"{}", "model"),
        (b'{"model":""}', "model"),
        (b'{"model":7}', "model"),
        (b'{"model":"m","stream":"yes"}', "stream"),
    ],
)
def test_what_cannot_be_routed_is_refused_by_name(body: bytes, param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        MESSAGES.read(Document.parse(body), FACTS)
    assert caught.value.param == param


def test_stream_may_be_null() -> None:
    assert not MESSAGES.read(Document.parse(b'{"model":"m","stream":null}'), FACTS).stream


def test_counts_and_models() -> None:
    assert decode_count(encode_count(12)) == 12
    assert decode_count({"input_tokens": "many"}) is None
    assert patch_model("m") == {"model": "m"}
