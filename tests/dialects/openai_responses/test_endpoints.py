"""What the routes make of a request."""

import pytest
from openai.types.responses.input_token_count_response import InputTokenCountResponse

from cliproxy.dialects.base import Action, PathFacts
from cliproxy.dialects.openai_responses.endpoints import (
    ENDPOINTS,
    decode_count,
    encode_count,
    for_counting,
    read_compact,
    read_count,
    read_create,
)
from cliproxy.errors import BadRequest
from cliproxy.wire.jsontext import DELETE, Document

FACTS = PathFacts(query={"q": "1"}, headers={"user-agent": "codex"})


def test_routes():
    assert {(endpoint.method, endpoint.path) for endpoint in ENDPOINTS} == {
        ("POST", "/v1/responses"),
        ("POST", "/v1/responses/compact"),
        ("POST", "/v1/responses/input_tokens"),
    }


def test_answer_is_wanted():
    document = Document.parse(b'{"model":"m(high)","input":"hi","stream":true}')
    request = read_create(document, FACTS)
    assert (request.dialect, request.action, request.model) == ("openai-response", Action.GENERATE, "m(high)")
    assert request.stream
    assert request.document is document
    assert (request.headers, request.query) == (FACTS.headers, FACTS.query)


def test_compaction_is_wanted():
    request = read_compact(Document.parse(b'{"model":"m","input":[],"stream":false}'), FACTS)
    assert (request.action, request.stream) == (Action.COMPACT, False)


def test_compaction_cannot_be_streamed():
    with pytest.raises(BadRequest, match="Streaming not supported for compact responses") as caught:
        read_compact(Document.parse(b'{"model":"m","input":[],"stream":true}'), FACTS)
    assert (caught.value.status, caught.value.param) == (400, "stream")


def test_count_is_wanted():
    request = read_count(Document.parse(b'{"model":"m","input":"hi"}'), FACTS)
    assert (request.dialect, request.action, request.stream) == ("openai-response", Action.COUNT, False)


def test_count_is_written_and_read():
    assert InputTokenCountResponse.model_validate(encode_count(12)).input_tokens == 12
    assert decode_count(encode_count(12)) == 12
    assert decode_count({"input_tokens": "many"}) is None


def test_only_what_has_tokens_is_sent_to_be_counted():
    kept = {"model": "m", "input": "hi", "tools": [], "previous_response_id": "resp_1"}
    stray = {"stream": True, "store": False, "metadata": {}, "client_metadata": {}}
    assert for_counting({**kept, **stray}) == dict.fromkeys(stray, DELETE)


@pytest.mark.parametrize("read", [read_create, read_compact])
@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"{}", "model"),
        (b'{"model":""}', "model"),
        (b'{"model":null}', "model"),
        (b'{"model":3}', "model"),
        (b'{"model":"m","stream":"yes"}', "stream"),
    ],
)
def test_bad_requests_name_the_field(read, body, param):
    with pytest.raises(BadRequest) as caught:
        read(Document.parse(body), FACTS)
    assert caught.value.param == param
