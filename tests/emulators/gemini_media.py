"""Gemini's embeddings, and what is particular about models that draw.

A model for embeddings does nothing else. The younger one counts tokens in its answers, the older does not.

A model that draws answers with a picture alone when only that is wanted, one at a time and never the same one
twice in a row. The words "refuse" and "empty" mean what they mean everywhere; a text with "chat" is answered
in words although a picture is wanted, as real models sometimes do.
"""

from base64 import b64encode
from itertools import count

from attrs import define, field

from emulators.check import Anything, Bool, List, Num, Obj, Problem, Str
from emulators.gemini_rules import CONTENT, Model, member, message, refuse, worded
from emulators.media import png, vector
from emulators.scenario import Prompt, choose, has_word
from emulators.turns import Image, Turn, counted
from emulators.values import (
    Answer,
    Json,
    JsonObject,
    as_list,
    as_object,
    as_text,
    dumps,
    json_answer,
    objects,
)

MOST_REQUESTS = 100
LONGEST = 3072
TASKS = (
    "TASK_TYPE_UNSPECIFIED",
    "RETRIEVAL_QUERY",
    "RETRIEVAL_DOCUMENT",
    "SEMANTIC_SIMILARITY",
    "CLASSIFICATION",
    "CLUSTERING",
    "QUESTION_ANSWERING",
    "FACT_VERIFICATION",
    "CODE_RETRIEVAL_QUERY",
)
RATIOS = ("1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9")
_SETTINGS = {
    "taskType": Str(choices=TASKS),
    "title": Str(),
    "outputDimensionality": Num(whole=True, low=1, high=LONGEST),
    "autoTruncate": Bool(),
}
_SINGLE = message(
    {"model": Str(), "content": CONTENT, **_SETTINGS, "embedContentConfig": message(_SETTINGS)}, ("content",)
)
_BATCH = message({"requests": List(_SINGLE)}, ("requests",))
_IMAGE_CONFIG = message(
    {
        "aspectRatio": Str(choices=RATIOS),
        "imageSize": Str(choices=("1K", "2K", "4K")),
        "personGeneration": Anything(),
    }
)


# --- embeddings ---


def check_embedding(model: Model, body: JsonObject, *, is_batch: bool) -> list[JsonObject]:
    """Check a request and return the single ones it consists of."""
    _check(_BATCH if is_batch else _SINGLE, body)
    requests = objects(body["requests"]) if is_batch else [body]
    if is_batch and not 1 <= len(requests) <= MOST_REQUESTS:
        text = "* BatchEmbedContentsRequest.requests: at most 100 requests can be in one batch"
        raise refuse(text if requests else text.replace("at most 100", "no"))
    for at, request in enumerate(requests):
        named = request.get("model", "" if is_batch else f"models/{model.name}")
        if named != f"models/{model.name}":
            text = f"* BatchEmbedContentsRequest.requests[{at}].model: unexpected model name format"
            raise refuse(text if not named else f"{text}: model must match the one of the batch")
        if not _words(request):
            raise refuse("* EmbedContentRequest.content: contents is not specified")
    return requests


def _check(spec: Obj, body: JsonObject) -> None:
    try:
        spec.check(body, ())
    except Problem as problem:
        raise worded(problem) from problem


def _words(request: JsonObject) -> str:
    parts = as_object(request.get("content")).get("parts")
    listed = parts if isinstance(parts, list) else [parts]
    return "\n".join(as_text(part.get("text")) for part in objects(listed))


def embedding_answer(model: Model, requests: list[JsonObject], *, is_batch: bool) -> Answer:
    """One vector for each request."""
    vectors: list[Json] = []
    for request in requests:
        settings = {**request, **as_object(member(request, "embedContentConfig"))}
        length = member(settings, "outputDimensionality")
        vectors.append({"values": [*vector(_words(request), length if isinstance(length, int) else None)]})
    answer: JsonObject = {"embeddings": vectors} if is_batch else {"embedding": vectors[0]}
    if model.name != "gemini-embedding-001":
        tokens = max(1, len(dumps([*requests])) // 4)
        answer["usageMetadata"] = {"promptTokenCount": tokens, "totalTokenCount": tokens}
    return json_answer(answer)


# --- pictures ---


def wanted_modalities(body: JsonObject) -> list[str]:
    """What kinds of output a request wants; none means text."""
    config = as_object(member(body, "generationConfig"))
    return [as_text(kind) for kind in as_list(member(config, "responseModalities"))]


def check_pictures(model: Model, body: JsonObject) -> None:
    """Check the settings that are about pictures."""
    config = as_object(member(body, "generationConfig"))
    shape = member(config, "imageConfig")
    if "IMAGE" in wanted_modalities(body) and not model.draws:
        text = "The requested combination of response modalities (IMAGE) is not supported by the model."
        raise refuse(f"{text} models/{model.name} accepts: * TEXT")
    if shape is not None:
        if not model.draws:
            raise refuse("Image config is not supported for this model.")
        try:
            _IMAGE_CONFIG.check(shape, ("generationConfig", "imageConfig"))
        except Problem as problem:
            raise worded(problem) from problem
        if member(as_object(shape), "imageSize") is not None and model.generation < 3:
            raise refuse("Image size is not supported for this model.")
    candidates = member(config, "candidateCount")
    if model.draws and isinstance(candidates, int) and candidates > 1:
        raise refuse("Multiple candidates is not enabled for this model")


@define
class Painter:
    """Draws one picture after the other, each of another colour."""

    _numbers: "count[int]" = field(factory=count)

    def turn(self, prompt: Prompt) -> Turn:
        """What the model answers when only a picture is wanted."""
        if any(has_word(prompt.text, word) for word in ("refuse", "empty", "chat")):
            return choose(prompt)
        picture = b64encode(png(next(self._numbers))).decode()
        return counted(Turn(blocks=(Image(picture),)), prompt.size)
