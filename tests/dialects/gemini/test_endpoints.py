"""The routes: model and action in the path, framing in the query."""

import pytest

from cliproxy.dialects.base import Action, Framing, PathFacts
from cliproxy.dialects.gemini.endpoints import ENDPOINTS, read
from cliproxy.dialects.gemini.errors import encode_error
from cliproxy.errors import BadRequest, NotFound
from cliproxy.wire.jsontext import Document

BODY = Document.parse(b'{"contents":[]}')


def request(target, query=None, headers=None, document=BODY):
    return read(document, PathFacts(args={"target": target}, query=query or {}, headers=headers or {}))


def test_both_versions_are_served():
    assert [endpoint.path for endpoint in ENDPOINTS] == [
        "/v1beta/models/{target:path}",
        "/v1/models/{target:path}",
    ]


@pytest.mark.parametrize(
    ("target", "model"),
    [
        ("gemini-2.5-pro:generateContent", "gemini-2.5-pro"),
        ("models/gemini-2.5-pro:generateContent", "gemini-2.5-pro"),
        ("team/name:generateContent", "team/name"),
        ("qwen:7b:generateContent", "qwen:7b"),
        ("gitlab://duo:generateContent", "gitlab://duo"),
        ("gemini-2.5-pro(high):generateContent", "gemini-2.5-pro(high)"),
    ],
)
def test_the_model_stands_in_the_path(target, model):
    wanted = request(target)
    assert (wanted.dialect, wanted.model, wanted.action, wanted.stream) == (
        "gemini",
        model,
        Action.GENERATE,
        False,
    )
    assert wanted.document is BODY


def test_counting():
    wanted = request("m:countTokens")
    assert (wanted.action, wanted.stream) == (Action.COUNT, False)


@pytest.mark.parametrize(
    ("query", "headers", "framing"),
    [
        ({"alt": "sse"}, {}, Framing.SSE),
        ({"$alt": "sse"}, {}, Framing.SSE),
        ({"alt": "SSE"}, {}, Framing.SSE),
        ({}, {}, Framing.JSON_ARRAY),
        ({"alt": "json"}, {}, Framing.JSON_ARRAY),
        ({}, {"accept": "text/event-stream"}, Framing.SSE),
        ({"alt": "json"}, {"accept": "text/event-stream"}, Framing.JSON_ARRAY),
        ({}, {"accept": "*/*"}, Framing.JSON_ARRAY),
    ],
)
def test_the_framing_of_a_stream(query, headers, framing):
    wanted = request("m:streamGenerateContent", query, headers)
    assert (wanted.action, wanted.stream, wanted.framing) == (Action.GENERATE, True, framing)


def test_a_form_that_is_not_served_is_refused_by_name():
    with pytest.raises(BadRequest) as caught:
        request("m:streamGenerateContent", {"alt": "proto"})
    assert caught.value.param == "alt"


@pytest.mark.parametrize("target", ["", "m", ":generateContent", "models/:generateContent", "m:dance", "m:"])
def test_other_paths_are_not_found(target):
    with pytest.raises(NotFound) as caught:
        request(target)
    assert encode_error(caught.value)["error"]["status"] == "NOT_FOUND"


@pytest.mark.parametrize(
    ("action", "body"), [("embedContent", b'{"content":{}}'), ("batchEmbedContents", b'{"requests":[]}')]
)
def test_embeddings_are_an_action_of_their_own(action, body):
    wanted = request(f"m:{action}", document=Document.parse(body))
    assert (wanted.action, wanted.model, wanted.stream) == (Action.EMBED, "m", False)


@pytest.mark.parametrize(
    ("action", "body"), [("embedContent", b'{"requests":[]}'), ("batchEmbedContents", b"{}")]
)
def test_a_batch_has_a_method_of_its_own(action, body):
    with pytest.raises(BadRequest, match="`requests`"):
        request(f"m:{action}", document=Document.parse(body))


@pytest.mark.parametrize("action", ["batchGenerateContent", "predict"])
def test_actions_that_exist_elsewhere_are_named(action):
    with pytest.raises(NotFound, match=action) as caught:
        request(f"m:{action}")
    error = encode_error(caught.value)["error"]
    assert (error["code"], error["status"]) == (501, "UNIMPLEMENTED")
