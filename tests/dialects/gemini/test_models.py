"""Model lists in the Gemini shape."""

from google.genai import types

from cliproxy.dialects.base import ListedModel
from cliproxy.dialects.gemini.models import MODEL_LISTS, claims, encode_list, encode_one


def test_a_model_of_which_everything_is_known():
    model = ListedModel(
        id="gemini-3-pro",
        display_name="Gemini 3 Pro",
        description="A model",
        context_tokens=1_048_576,
        output_tokens=65_536,
        can_think=True,
    )
    assert encode_one(model) == {
        "name": "models/gemini-3-pro",
        "version": "001",
        "displayName": "Gemini 3 Pro",
        "description": "A model",
        "supportedGenerationMethods": ["generateContent", "streamGenerateContent", "countTokens"],
        "inputTokenLimit": 1_048_576,
        "outputTokenLimit": 65_536,
        "thinking": True,
    }


def test_a_model_of_which_nothing_is_known():
    written = encode_one(ListedModel(id="models/x"))
    assert written["name"] == "models/x"
    assert written["displayName"] == written["description"] == "models/x"
    assert "inputTokenLimit" not in written


def test_the_list_and_what_the_vendors_client_makes_of_it():
    listed = encode_list([ListedModel(id="a"), ListedModel(id="b")])
    assert [model["name"] for model in listed["models"]] == ["models/a", "models/b"]
    assert types.Model.model_validate({"name": listed["models"][0]["name"]}).name == "models/a"


def test_googles_clients_are_known_by_their_headers():
    assert claims({"x-goog-api-key": "k"}, {})
    assert claims({"x-goog-api-client": "google-genai-sdk/3.4"}, {})
    assert not claims({"authorization": "Bearer k"}, {})
    assert MODEL_LISTS.paths == ("/v1beta/models", "/v1/models")
