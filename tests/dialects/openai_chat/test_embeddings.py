"""``POST /v1/embeddings``: texts and token numbers in, vectors as numbers or base64 out."""

import pytest
from attrs import evolve

from cliproxy.dialects.base import Action, PathFacts
from cliproxy.dialects.openai_chat.embeddings import (
    EMBEDDINGS,
    ENDPOINT,
    decode_request,
    decode_response,
    encode_request,
    encode_response,
    inspect_response,
    read,
)
from cliproxy.errors import BadRequest, DialectError, Kind
from cliproxy.ir.embeddings import EmbeddingRequest, Embeddings
from cliproxy.ir.response import Usage
from cliproxy.wire.jsontext import Document, JsonObject, JsonValue, dumps
from support.factories import make_context

ANSWER: JsonObject = {
    "object": "list",
    "data": [
        {"object": "embedding", "index": 1, "embedding": [0.5]},
        {"object": "embedding", "index": 0, "embedding": "AACAPw=="},
    ],
    "model": "up",
    "usage": {"prompt_tokens": 7, "total_tokens": 7},
}


def test_a_request_is_routed_by_its_model():
    body = dumps({"model": "m", "input": "hi"})
    wanted = ENDPOINT.read(Document.parse(body), PathFacts(headers={"a": "b"}))
    assert (wanted.dialect, wanted.action, wanted.model, wanted.stream) == (
        "openai",
        Action.EMBED,
        "m",
        False,
    )
    assert wanted.headers == {"a": "b"}


@pytest.mark.parametrize("body", [{"model": "m"}, {"model": "m", "input": ""}, {"model": "m", "input": []}])
def test_a_request_without_input_is_refused(body: JsonObject):
    with pytest.raises(BadRequest, match="`input`") as caught:
        read(Document.parse(dumps(body)), PathFacts())
    assert caught.value.param == "input"


@pytest.mark.parametrize(
    ("given", "inputs"),
    [
        ("a", ["a"]),
        (["a", "b"], ["a", "b"]),
        ([1, 2, 3], [[1, 2, 3]]),
        ([[1, 2], [3]], [[1, 2], [3]]),
        (["a", [3]], ["a", [3]]),
    ],
)
def test_what_is_embedded(given: JsonValue, inputs: list[object]):
    request = decode_request({"model": "m", "input": given}, make_context())
    assert request == EmbeddingRequest(model="m", inputs=inputs)
    assert EMBEDDINGS.portions.wanted({"input": given}) == len(inputs)


@pytest.mark.parametrize("given", [[[]], [1.5], [True], [None], [{"text": "a"}], [["a"]]])
def test_what_cannot_be_embedded_is_refused(given: JsonValue):
    with pytest.raises(DialectError, match="`input`"):
        decode_request({"model": "m", "input": given}, make_context())


@pytest.mark.parametrize(
    ("setting", "value"),
    [("dimensions", 0), ("dimensions", "many"), ("encoding_format", "hex")],
)
def test_settings_are_checked(setting: str, value: JsonValue):
    with pytest.raises(DialectError) as caught:
        decode_request({"model": "m", "input": "a", setting: value}, make_context())
    assert caught.value.param == setting


def test_what_nobody_else_knows_is_noted():
    ctx = make_context()
    decode_request({"model": "m", "input": "a", "input_type": "query"}, ctx)
    assert ctx.notes == ["input_type is not carried"]


def test_a_request_is_written():
    ctx = make_context()
    request = EmbeddingRequest(
        model="m", inputs=["a", [1, 2]], dimensions=8, user="u", task="RETRIEVAL_QUERY", title="t"
    )
    assert encode_request(request, ctx) == {
        "model": "m",
        "input": ["a", [1, 2]],
        "dimensions": 8,
        "user": "u",
    }
    assert ctx.notes == ["task is not carried", "title is not carried"]


def test_vectors_are_read_in_the_order_of_their_indices():
    answer = decode_response(ANSWER)
    assert [list(vector) for vector in answer.vectors] == [[1.0], [0.5]]
    assert (answer.model, answer.usage.input_total) == ("up", 7)


@pytest.mark.parametrize(
    "data",
    [
        [None],
        [{"embedding": []}],
        [{"embedding": ["a"]}],
        [{"embedding": "AA=="}],
        [{"index": 1, "embedding": [1]}],
        [{"index": 0, "embedding": [1]}, {"index": 0, "embedding": [2]}],
    ],
)
def test_what_is_no_vector_is_refused(data: JsonValue):
    with pytest.raises(DialectError, match="data"):
        decode_response({"data": data})


VECTORS = Embeddings(vectors=[[1.0], [0.5]], usage=Usage(fresh_input=7))


@pytest.mark.parametrize(("asked", "first"), [({}, [1.0]), ({"encoding_format": "base64"}, "AACAPw==")])
def test_vectors_are_written_as_the_client_asked(asked: JsonObject, first: JsonValue):
    written = encode_response(VECTORS, make_context(original_body=asked))
    assert written["data"][0] == {"object": "embedding", "index": 0, "embedding": first}
    assert (written["object"], written["model"]) == ("list", "upstream-model")
    assert written["usage"] == {"prompt_tokens": 7, "total_tokens": 7}


def test_an_alias_is_shown_where_it_must_be():
    answer = evolve(VECTORS, model="up")
    assert encode_response(answer, make_context(shown_model="mine"))["model"] == "mine"
    assert encode_response(answer, make_context())["model"] == "up"


def test_a_number_that_does_not_fit_is_refused():
    ctx = make_context(original_body={"encoding_format": "base64"})
    with pytest.raises(DialectError, match="does not fit"):
        encode_response(Embeddings(vectors=[[1e300]]), ctx)


def test_an_answer_is_looked_at():
    assert inspect_response(ANSWER).usage == Usage(fresh_input=7, reported_total=7)
    assert not inspect_response({"data": []}).has_content
    error = inspect_response({"error": {"message": "no", "code": "model_not_found"}}).error
    assert error is not None
    assert (error.kind, error.message) == (Kind.NOT_FOUND, "no")


def test_a_raw_body_gets_the_upstreams_model():
    assert EMBEDDINGS.patch_model("up", {"model": "m"}) == {"model": "up"}


def test_portions_are_cut_and_joined():
    portions = EMBEDDINGS.portions
    assert portions.only({"input": ["a", "b", "c"]}, 1, 2) == {"input": ["b", "c"]}
    first: JsonObject = {
        "data": [{"index": 0, "embedding": [1]}],
        "model": "m",
        "usage": {"prompt_tokens": 1},
    }
    second: JsonObject = {"data": [{"index": 0, "embedding": [2]}], "usage": {"prompt_tokens": 2}}
    assert portions.given(first) == 1
    joined = portions.joined([first, second])
    assert joined["data"] == [{"index": 0, "embedding": [1]}, {"index": 1, "embedding": [2]}]
    assert joined["usage"] == {"prompt_tokens": 3, "total_tokens": 0}
    assert joined["model"] == "m"
