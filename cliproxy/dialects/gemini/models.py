"""Model lists in the Gemini shape: ``GET /v1beta/models``, and ``GET /v1/models`` from Google's clients.

Contract: Gemini API reference, "models.list" and "models.get".
"""

from collections.abc import Mapping, Sequence
from typing import Final

from cliproxy.dialects.base import ListedModel, ModelLists
from cliproxy.wire.jsontext import JsonObject

METHODS: Final = ("generateContent", "streamGenerateContent", "countTokens")
EMBEDDING_METHODS: Final = ("embedContent", "batchEmbedContents")
NAME_PREFIX: Final = "models/"


def claims(headers: Mapping[str, str], _query: Mapping[str, str]) -> bool:
    """Tell a Google client by its headers; the path ``/v1beta`` belongs to nobody else anyway."""
    return "x-goog-api-key" in headers or "x-goog-api-client" in headers


def encode_one(model: ListedModel) -> JsonObject:
    """Render one model."""
    name = model.id if model.id.startswith(NAME_PREFIX) else NAME_PREFIX + model.id
    rendered: JsonObject = {
        "name": name,
        "version": "001",
        "displayName": model.display_name or model.id,
        "description": model.description or model.display_name or model.id,
        "supportedGenerationMethods": list(EMBEDDING_METHODS if _embeds(model) else METHODS),
    }
    if model.context_tokens is not None:
        rendered["inputTokenLimit"] = model.context_tokens
    if model.output_tokens is not None:
        rendered["outputTokenLimit"] = model.output_tokens
    if model.thinking is not None:
        rendered["thinking"] = model.thinking.can_think
    if not _embeds(model):
        rendered["supportedInputModalities"] = [kind.upper() for kind in model.input_modalities]
        rendered["supportedOutputModalities"] = [kind.upper() for kind in model.output_modalities]
    return rendered


def _embeds(model: ListedModel) -> bool:
    return model.output_modalities == ("embedding",)


def encode_list(models: Sequence[ListedModel]) -> JsonObject:
    """Render the list; there is never a second page."""
    return {"models": [encode_one(model) for model in models]}


MODEL_LISTS = ModelLists(
    paths=("/v1beta/models", "/v1/models"), claims=claims, encode_list=encode_list, encode_one=encode_one
)
