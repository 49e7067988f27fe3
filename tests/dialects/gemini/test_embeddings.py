"""``embedContent`` and ``batchEmbedContents``: contents in, lists of numbers out."""

import pytest

from cliproxy.dialects.gemini.embeddings import (
    EMBEDDINGS,
    decode_request,
    decode_response,
    encode_request,
    encode_response,
    inspect_response,
    patch_model,
)
from cliproxy.errors import DialectError, Kind
from cliproxy.ir.embeddings import EmbeddingRequest, Embeddings
from cliproxy.ir.response import Usage
from cliproxy.wire.jsontext import JsonObject, JsonValue
from support.factories import make_context


def content(*texts: str) -> JsonObject:
    return {"parts": [{"text": text} for text in texts]}


def test_a_single_request_is_read():
    body: JsonObject = {"content": content("a", "b"), "taskType": "CLUSTERING", "outputDimensionality": 8}
    assert decode_request(body, make_context()) == EmbeddingRequest(
        model="requested-model", inputs=["a\nb"], dimensions=8, task="CLUSTERING"
    )


@pytest.mark.parametrize(
    "settings",
    [
        {"output_dimensionality": 8, "title": "t"},
        {"embedContentConfig": {"outputDimensionality": 8, "title": "t"}},
        {"embed_content_config": {"output_dimensionality": 8, "title": "t"}},
    ],
)
def test_settings_may_stand_in_three_places(settings: JsonObject):
    body: JsonObject = {"requests": [{"model": "models/m", "content": content("a"), **settings}]}
    request = decode_request(body, make_context())
    assert (request.inputs, request.dimensions, request.title) == (["a"], 8, "t")


@pytest.mark.parametrize("requests", [[], "a", [1], [{"content": content("a")}, None]])
def test_a_batch_is_a_list_of_requests(requests: JsonValue):
    with pytest.raises(DialectError, match="`requests`"):
        decode_request({"requests": requests}, make_context())


@pytest.mark.parametrize(
    "given",
    [
        None,
        {},
        {"parts": []},
        {"parts": [{"inlineData": {"mimeType": "image/png", "data": "AA=="}}]},
        {"parts": [{"text": "a"}, {"fileData": {"fileUri": "gs://a"}}]},
    ],
)
def test_only_text_goes_to_other_vendors(given: JsonValue):
    with pytest.raises(DialectError) as caught:
        decode_request({"requests": [{"content": content("a")}, {"content": given}]}, make_context())
    assert caught.value.param == "requests[1].content"


def test_a_content_may_be_a_text():
    assert decode_request({"content": "a"}, make_context()).inputs == ["a"]


def test_vectors_of_several_lengths_cannot_be_asked_for_elsewhere():
    requests: JsonValue = [
        {"content": content("a"), "outputDimensionality": 8},
        {"content": content("b"), "outputDimensionality": 9},
    ]
    with pytest.raises(DialectError, match="outputDimensionality"):
        decode_request({"requests": requests}, make_context())


def test_losses_are_noted():
    ctx = make_context()
    requests: JsonValue = [
        {"content": content("a"), "taskType": "CLUSTERING", "autoTruncate": True},
        {"content": content("b"), "taskType": "RETRIEVAL_QUERY"},
    ]
    assert decode_request({"requests": requests}, ctx).task == ""
    assert ctx.notes == [
        "autoTruncate is not carried",
        "taskType differs between the requests and is not carried",
    ]


def test_a_batch_is_written():
    ctx = make_context()
    request = EmbeddingRequest(
        model="embed", inputs=["a", "b"], dimensions=8, task="CLUSTERING", title="t", user="u"
    )
    settings = {"taskType": "CLUSTERING", "title": "t", "outputDimensionality": 8}
    assert encode_request(request, ctx) == {
        "requests": [
            {"model": "models/embed", "content": content("a"), **settings},
            {"model": "models/embed", "content": content("b"), **settings},
        ]
    }
    assert ctx.notes == ["user is not carried"]


@pytest.mark.parametrize("model", ["models/embed", "tunedModels/mine"])
def test_a_model_that_is_a_resource_keeps_its_name(model: str):
    written = encode_request(EmbeddingRequest(model=model, inputs=["a"]), make_context())
    assert written["requests"][0]["model"] == model


def test_no_more_is_asked_for_than_the_service_takes():
    request = EmbeddingRequest(model="m", inputs=[str(number) for number in range(250)])
    requests = encode_request(request, make_context())["requests"]
    assert [entry["content"]["parts"][0]["text"] for entry in requests] == [str(n) for n in range(100)]


def test_token_numbers_are_refused_by_name():
    with pytest.raises(DialectError, match="token numbers") as caught:
        encode_request(EmbeddingRequest(model="m", inputs=[[1, 2]]), make_context())
    assert caught.value.param == "input"


@pytest.mark.parametrize(
    ("body", "changes"),
    [
        ({"content": content("a")}, {}),
        ({"model": "models/m", "content": content("a")}, {"model": "models/up"}),
        ({"requests": [{"model": "models/up"}, {}]}, {}),
        (
            {"requests": [{"model": "models/m", "x": 1}, {}, 3]},
            {"requests": [{"model": "models/up", "x": 1}, {}, 3]},
        ),
    ],
)
def test_a_raw_body_gets_the_upstreams_model_wherever_it_names_one(body: JsonObject, changes: JsonObject):
    assert patch_model("up", body) == changes


@pytest.mark.parametrize(
    ("body", "vectors"),
    [
        ({"embedding": {"values": [1, 0.5]}}, [[1, 0.5]]),
        ({"embeddings": [{"values": [1.0]}, {"values": [2.0]}]}, [[1.0], [2.0]]),
    ],
)
def test_answers_are_read(body: JsonObject, vectors: list[list[float]]):
    assert decode_response(body) == Embeddings(vectors=vectors)


def test_counts_are_read_where_there_are_some():
    body: JsonObject = {"embedding": {"values": [1]}, "usageMetadata": {"promptTokenCount": 3}}
    assert decode_response(body).usage.input_total == 3
    assert inspect_response(body).usage == decode_response(body).usage


@pytest.mark.parametrize("vectors", [[{}], [None], [{"values": ["a"]}], [{"values": []}]])
def test_what_is_no_vector_is_refused(vectors: JsonValue):
    with pytest.raises(DialectError, match="no vector"):
        decode_response({"embeddings": vectors})


def test_an_answer_is_written_as_it_was_asked_for():
    answer = Embeddings(vectors=[[1.0]], usage=Usage(fresh_input=3))
    usage = {"promptTokenCount": 3, "totalTokenCount": 3}
    single = encode_response(answer, make_context(original_body={"content": "a"}))
    assert single == {"embedding": {"values": [1.0]}, "usageMetadata": usage}
    batch = encode_response(answer, make_context(original_body={"requests": [{}]}))
    assert batch == {"embeddings": [{"values": [1.0]}], "usageMetadata": usage}
    silent = encode_response(Embeddings(vectors=[[1.0]]), make_context())
    assert silent == {"embedding": {"values": [1.0]}}


def test_an_answer_is_looked_at():
    assert inspect_response({"embeddings": [{}]}).has_content
    assert not inspect_response({"embeddings": []}).has_content
    error = inspect_response({"error": {"code": 400, "status": "INVALID_ARGUMENT", "message": "no"}}).error
    assert error is not None
    assert error.kind is Kind.INVALID_REQUEST


def test_portions_are_cut_and_joined():
    portions = EMBEDDINGS.portions
    body: JsonObject = {"requests": [1, 2, 3]}
    assert (portions.wanted(body), portions.wanted({"content": "a"})) == (3, 1)
    assert portions.only(body, 1, 2) == {"requests": [2, 3]}
    first: JsonObject = {"embeddings": [1], "usageMetadata": {"promptTokenCount": 1, "totalTokenCount": 1}}
    joined = portions.joined([first, {"embeddings": [2, 3]}])
    assert joined == {
        "embeddings": [1, 2, 3],
        "usageMetadata": {"promptTokenCount": 1, "totalTokenCount": 1},
    }
    assert portions.given(joined) == 3
    assert portions.joined([{"embeddings": [1]}, {"embeddings": [2]}]) == {"embeddings": [1, 2]}
