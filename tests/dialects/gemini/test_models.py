"""Model lists as Google's clients read them."""

from google.genai import types

from cliproxy.dialects.base import ListedModel
from cliproxy.dialects.gemini.models import METHODS, MODEL_LISTS, claims, encode_list, encode_one
from cliproxy.ir.thinking import ThinkingSupport

MODEL = ListedModel(id="m", display_name="M", context_tokens=9, output_tokens=5, thinking=ThinkingSupport())


def test_the_vendors_own_type_reads_it() -> None:
    rendered = encode_one(MODEL)
    assert rendered["supportedGenerationMethods"] == list(METHODS)
    read = types.Model.model_validate(
        {
            "name": rendered["name"],
            "display_name": rendered["displayName"],
            "input_token_limit": rendered["inputTokenLimit"],
        }
    )
    assert (read.name, read.display_name, read.input_token_limit) == ("models/m", "M", 9)
    assert (rendered["outputTokenLimit"], rendered["thinking"]) == (5, False)


def test_what_a_model_reads_and_writes() -> None:
    rendered = encode_one(ListedModel(id="m", input_modalities=("text", "image")))
    assert rendered["supportedInputModalities"] == ["TEXT", "IMAGE"]
    assert rendered["supportedOutputModalities"] == ["TEXT"]


def test_a_model_for_embeddings_says_so() -> None:
    rendered = encode_one(ListedModel(id="m", output_modalities=("embedding",)))
    assert "supportedOutputModalities" not in rendered
    assert rendered["supportedGenerationMethods"] == ["embedContent", "batchEmbedContents"]


def test_a_name_is_prefixed_once_and_unknown_facts_are_left_out() -> None:
    rendered = encode_one(ListedModel(id="models/m"))
    assert rendered["name"] == "models/m"
    assert not {"inputTokenLimit", "outputTokenLimit", "thinking"} & set(rendered)


def test_the_list() -> None:
    assert encode_list([MODEL]) == {"models": [encode_one(MODEL)]}


def test_its_clients_are_known_by_their_headers() -> None:
    assert claims({"x-goog-api-key": "k"}, {})
    assert claims({"x-goog-api-client": "google-genai-sdk/1"}, {})
    assert not claims({"authorization": "Bearer k"}, {})
    assert set(MODEL_LISTS.paths) == {"/v1beta/models", "/v1/models"}
