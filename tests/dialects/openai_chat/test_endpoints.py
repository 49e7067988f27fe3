"""The route of chat completions."""

import json

import pytest

from cliproxy.dialects.base import Action, PathFacts
from cliproxy.dialects.openai_chat.endpoints import ENDPOINTS, read
from cliproxy.errors import BadRequest
from cliproxy.wire.jsontext import Document

USER = [{"role": "user", "content": "u"}]


def request(**members: object):
    document = Document.parse(json.dumps({"model": "m", **members}).encode())
    return read(document, PathFacts(query={"q": "1"}, headers={"h": "2"}))


def test_route():
    [endpoint] = ENDPOINTS
    assert (endpoint.method, endpoint.path, endpoint.read) == ("POST", "/v1/chat/completions", read)


def test_request():
    wanted = request(model=" gpt-5(high) ", messages=USER, stream=True)
    assert (wanted.dialect, wanted.answer_dialect, wanted.action) == ("openai", "", Action.GENERATE)
    assert (wanted.model, wanted.stream) == ("gpt-5(high)", True)
    assert (dict(wanted.query), dict(wanted.headers)) == ({"q": "1"}, {"h": "2"})


@pytest.mark.parametrize("stream", [None, False, "true", 1])
def test_only_true_asks_for_a_stream(stream):
    assert not request(messages=USER, stream=stream).stream


@pytest.mark.parametrize("members", [{"input": "hi"}, {"instructions": "be brief"}])
def test_body_of_the_vendors_other_dialect(members):
    wanted = request(**members)
    assert (wanted.dialect, wanted.answer_dialect) == ("openai-response", "openai")


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"model": None, "messages": USER}, "model"),
        ({"model": " ", "messages": USER}, "model"),
        ({"model": 3, "messages": USER}, "model"),
        ({}, "messages"),
        ({"messages": "x"}, "messages"),
        ({"messages": None, "input": "x"}, "messages"),
    ],
)
def test_refusals_name_the_field(members, param):
    with pytest.raises(BadRequest) as caught:
        request(**members)
    assert caught.value.param == param
