"""The grammar of the Gemini API, from its public reference: requests, answers, streams and errors.

Each function takes what was written and fails with an assertion that names the place. Only what is written is
checked against the reference; members an answer may have and ours never have are unknown here.
"""

import re
from collections.abc import Sequence

from cliproxy.wire.jsontext import JsonObject, JsonValue, loads

_BASE64 = re.compile(r"[A-Za-z0-9+/_-]*={0,2}")

DATA_KINDS = (
    "text",
    "inlineData",
    "fileData",
    "functionCall",
    "functionResponse",
    "executableCode",
    "codeExecutionResult",
)
PART_MEMBERS = {*DATA_KINDS, "thought", "thoughtSignature", "videoMetadata", "mediaResolution"}
FINISH_REASONS = {
    "STOP",
    "MAX_TOKENS",
    "SAFETY",
    "RECITATION",
    "LANGUAGE",
    "OTHER",
    "BLOCKLIST",
    "PROHIBITED_CONTENT",
    "SPII",
    "MALFORMED_FUNCTION_CALL",
    "IMAGE_SAFETY",
    "IMAGE_PROHIBITED_CONTENT",
    "IMAGE_OTHER",
    "NO_IMAGE",
    "IMAGE_RECITATION",
    "UNEXPECTED_TOOL_CALL",
    "TOO_MANY_TOOL_CALLS",
    "MISSING_THOUGHT_SIGNATURE",
    "MALFORMED_RESPONSE",
    "MODEL_ARMOR",
}
CANDIDATE_MEMBERS = {
    "content",
    "finishReason",
    "index",
    "safetyRatings",
    "citationMetadata",
    "groundingMetadata",
    "urlContextMetadata",
    "avgLogprobs",
    "logprobsResult",
    "tokenCount",
    "finishMessage",
}
ANSWER_MEMBERS = {"candidates", "usageMetadata", "modelVersion", "responseId", "createTime", "promptFeedback"}
COUNTS = {
    "promptTokenCount",
    "candidatesTokenCount",
    "thoughtsTokenCount",
    "cachedContentTokenCount",
    "totalTokenCount",
}
DETAILS = {"promptTokensDetails", "candidatesTokensDetails", "cacheTokensDetails"}
REQUEST_MEMBERS = {
    "contents",
    "systemInstruction",
    "tools",
    "toolConfig",
    "generationConfig",
    "safetySettings",
    "cachedContent",
    "labels",
}
STATUSES = {
    "INVALID_ARGUMENT",
    "UNAUTHENTICATED",
    "PERMISSION_DENIED",
    "NOT_FOUND",
    "ABORTED",
    "RESOURCE_EXHAUSTED",
    "CANCELLED",
    "INTERNAL",
    "UNIMPLEMENTED",
    "UNAVAILABLE",
    "DEADLINE_EXCEEDED",
    "UNKNOWN",
}


def check_stream(data: Sequence[bytes], *, is_ours: bool = True) -> None:
    """Check the data of all events of a stream, which may end in an error.

    ``is_ours``: only the last chunk has counts, which the service itself sends as it goes.
    """
    chunks = [_object(loads(each)) for each in data]
    if chunks and "error" in chunks[-1]:
        check_error(chunks.pop())
        for chunk in chunks:
            check_answer(chunk, is_chunk=True)
        return
    assert chunks, "a stream without a chunk"
    identities = {
        (chunk.get("responseId"), chunk.get("modelVersion"), chunk.get("createTime")) for chunk in chunks
    }
    assert len(identities) == 1, f"chunks of different answers: {identities}"
    reasons: dict[JsonValue, JsonValue] = {}
    seen: set[JsonValue] = set()
    for number, chunk in enumerate(chunks):
        check_answer(chunk, is_chunk=True)
        for candidate in chunk["candidates"]:
            index = candidate["index"]
            assert index not in reasons, (
                f"chunk {number} goes on after the finish reason of candidate {index}"
            )
            seen.add(index)
            if "finishReason" in candidate:
                reasons[index] = candidate["finishReason"]
        if number < len(chunks) - 1:
            assert not reasons, "a finish reason before the last chunk"
            assert not is_ours or "usageMetadata" not in chunk, "counts before the last chunk"
    assert set(reasons) == seen, "a candidate without a finish reason"


def check_answer(body: JsonObject, *, is_chunk: bool = False) -> None:
    """Check a whole answer or a chunk."""
    assert set(body) <= ANSWER_MEMBERS, f"unknown members {set(body) - ANSWER_MEMBERS}"
    for member in ("responseId", "modelVersion"):
        assert isinstance(body[member], str), member
        assert body[member], member
    assert isinstance(body.get("createTime", ""), str)
    if "usageMetadata" in body:
        _check_counts(_object(body["usageMetadata"]))
    candidates = body.get("candidates")
    if candidates is None:
        assert not is_chunk
        assert "promptFeedback" in body, "neither candidates nor a reason why not"
        return
    assert isinstance(candidates, list)
    indexes = [_object(candidate)["index"] for candidate in candidates]
    assert indexes == sorted(set(indexes)), f"candidates out of order: {indexes}"
    for candidate in candidates:
        _check_candidate(_object(candidate), is_chunk=is_chunk)


def _check_candidate(candidate: JsonObject, *, is_chunk: bool) -> None:
    assert set(candidate) <= CANDIDATE_MEMBERS, f"unknown members {set(candidate) - CANDIDATE_MEMBERS}"
    if "finishReason" in candidate or not is_chunk:
        assert candidate["finishReason"] in FINISH_REASONS
    content = _object(candidate["content"])
    assert content["role"] == "model"
    parts = content.get("parts")
    assert parts or candidate.get("finishReason") not in {None, "STOP"}, "a content without parts"
    for part in parts or ():
        check_part(_object(part))


def check_part(part: JsonObject) -> None:
    """Check one part: exactly one kind of data, of the right shape."""
    assert set(part) <= PART_MEMBERS, f"unknown members {set(part) - PART_MEMBERS}"
    kinds = [kind for kind in DATA_KINDS if kind in part]
    assert len(kinds) == 1, f"a part of kinds {kinds}"
    if "thought" in part:
        assert isinstance(part["thought"], bool)
    if "thoughtSignature" in part:
        _check_base64(part["thoughtSignature"])
    data = part[kinds[0]]
    match kinds[0]:
        case "text":
            assert isinstance(data, str)
        case "inlineData":
            inline = _object(data)
            assert "/" in inline["mimeType"]
            _check_base64(inline["data"])
        case "fileData":
            assert isinstance(_object(data)["fileUri"], str)
        case "functionCall":
            call = _object(data)
            assert set(call) <= {"id", "name", "args"}
            assert isinstance(call["name"], str)
            assert isinstance(call["args"], dict)
            assert isinstance(call.get("id", ""), str)
        case "functionResponse":
            response = _object(data)
            assert set(response) <= {"id", "name", "response", "parts", "willContinue", "scheduling"}
            assert isinstance(response["name"], str)
            assert response["name"]
            assert isinstance(response["response"], dict)
            assert "thoughtSignature" not in part, "a signed function response"


def _check_base64(value: JsonValue) -> None:
    """Check the alphabet; tests make up signatures of any length."""
    assert isinstance(value, str)
    assert _BASE64.fullmatch(value), f"{value!r} is not base64"


def _check_counts(counts: JsonObject) -> None:
    assert set(counts) <= COUNTS | DETAILS
    assert all(isinstance(counts[name], int) and counts[name] >= 0 for name in COUNTS & set(counts))
    for name in DETAILS & set(counts):
        assert all(set(detail) == {"modality", "tokenCount"} for detail in counts[name])
    told = (
        counts.get(name, 0) for name in ("promptTokenCount", "candidatesTokenCount", "thoughtsTokenCount")
    )
    assert counts["totalTokenCount"] == sum(told)
    assert counts.get("cachedContentTokenCount", 0) <= counts["promptTokenCount"]


def check_request(body: JsonObject) -> None:
    """Check a request as this project writes it."""
    assert set(body) <= REQUEST_MEMBERS, f"unknown members {set(body) - REQUEST_MEMBERS}"
    for content in body["contents"]:
        assert content["role"] in {"user", "model"}
        assert content["parts"]
        for part in content["parts"]:
            check_part(_object(part))
        calls = [part for part in content["parts"] if "functionCall" in part]
        if calls:
            assert content["role"] == "model"
            assert "thoughtSignature" in calls[0], "the first call of a turn is not signed"
    for tool in body.get("tools", []):
        assert len(tool) == 1
        for declaration in tool.get("functionDeclarations", []):
            assert set(declaration) <= {"name", "description", "parametersJsonSchema", "behavior", "response"}
            assert isinstance(declaration["parametersJsonSchema"], dict)
    assert "toolConfig" not in body or "tools" in body


def check_error(body: JsonObject) -> None:
    """Check an error body."""
    assert set(body) == {"error"}
    error = _object(body["error"])
    assert set(error) <= {"code", "message", "status", "details"}
    assert isinstance(error["code"], int)
    assert isinstance(error["message"], str)
    assert error["status"] in STATUSES
    for detail in error.get("details", []):
        assert detail["@type"].startswith("type.googleapis.com/google.rpc.")


def _object(value: JsonValue) -> JsonObject:
    assert isinstance(value, dict), f"{value!r} is not an object"
    return value
