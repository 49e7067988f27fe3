"""Two spellings of one name.

The Gemini API is defined in protocol buffers, whose JSON form writes ``inlineData`` and accepts
``inline_data`` as well; real clients send both. :func:`camel` brings one node to the first spelling. It is
applied to the nodes of the API, never to what belongs to somebody else: arguments, results and schemas keep
their keys.
"""

import re
from collections.abc import Mapping
from typing import Final

from cliproxy.wire.jsontext import JsonObject

_NAMES: Final = (
    "allowedFunctionNames",
    "aspectRatio",
    "blockReason",
    "cachedContent",
    "cachedContentTokenCount",
    "candidateCount",
    "candidatesTokenCount",
    "citationMetadata",
    "codeExecution",
    "codeExecutionResult",
    "computerUse",
    "createTime",
    "displayName",
    "embedContentConfig",
    "executableCode",
    "fileData",
    "fileSearch",
    "fileUri",
    "finishMessage",
    "finishReason",
    "frequencyPenalty",
    "functionCall",
    "functionCallingConfig",
    "functionDeclarations",
    "functionResponse",
    "generateContentRequest",
    "generationConfig",
    "googleMaps",
    "googleSearch",
    "googleSearchRetrieval",
    "groundingMetadata",
    "imageConfig",
    "imageSize",
    "includeThoughts",
    "inlineData",
    "maxOutputTokens",
    "mediaResolution",
    "mimeType",
    "modelVersion",
    "outputDimensionality",
    "parametersJsonSchema",
    "presencePenalty",
    "promptFeedback",
    "promptTokenCount",
    "responseId",
    "responseJsonSchema",
    "responseLogprobs",
    "responseMimeType",
    "responseModalities",
    "responseSchema",
    "retrievalConfig",
    "safetyRatings",
    "safetySettings",
    "speechConfig",
    "stopSequences",
    "systemInstruction",
    "taskType",
    "thinkingBudget",
    "thinkingConfig",
    "thinkingLevel",
    "thoughtSignature",
    "thoughtsTokenCount",
    "toolConfig",
    "toolUsePromptTokenCount",
    "topK",
    "topP",
    "totalTokenCount",
    "totalTokens",
    "urlContext",
    "urlContextMetadata",
    "usageMetadata",
    "videoMetadata",
)


def snake(name: str) -> str:
    """Return the other spelling of a name."""
    return re.sub(r"(?<!^)([A-Z])", lambda match: f"_{match[1].lower()}", name)


_CAMEL: Final[Mapping[str, str]] = {snake(name): name for name in _NAMES if snake(name) != name}
_OTHER: Final = frozenset(_CAMEL)


def camel(node: JsonObject) -> JsonObject:
    """Return a node with the names of the API in their first spelling, which wins where both are there.

    Most nodes are spelled like that already and are returned as they are: the result is not to be changed.
    """
    if _OTHER.isdisjoint(node):
        return node
    return {
        _CAMEL.get(name, name): value
        for name, value in node.items()
        if name not in _CAMEL or _CAMEL[name] not in node
    }
