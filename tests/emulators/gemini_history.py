"""What the contents sent to Gemini must look like from turn to turn.

Calls and responses are whole turns: a turn of calls follows a user turn, and the turn right after it has
exactly as many responses, with the same names. Newer models sign their calls and refuse a history in which
the first call of a step of the current turn has lost its signature; a published placeholder switches that
check off.
"""

from base64 import b64decode, urlsafe_b64decode

from emulators.gemini_rules import DATA_FIELDS, Model, member, refuse, snake
from emulators.signing import is_gemini_signature
from emulators.values import Json, JsonObject, as_object, as_text, objects

PLACEHOLDERS = ("skip_thought_signature_validator", "context_engineering_is_the_way_to_go")


def contents_of(body: JsonObject) -> list[JsonObject]:
    """The contents as a list; a single object counts as one."""
    contents = member(body, "contents")
    return [contents] if isinstance(contents, dict) else objects(contents)


def parts_of(content: JsonObject) -> list[JsonObject]:
    """The parts as a list; a single object counts as one."""
    parts = content.get("parts")
    return [parts] if isinstance(parts, dict) else objects(parts)


def pieces(content: JsonObject, kind: str) -> list[JsonObject]:
    """The function calls or responses of a content."""
    return [as_object(member(part, kind)) for part in parts_of(content) if member(part, kind) is not None]


def check_contents(body: JsonObject, model: Model) -> None:
    """Raise `Refusal` for whatever the service would turn down."""
    contents = contents_of(body)
    if not contents:
        raise refuse("* GenerateContentRequest.contents: contents is not specified")
    for at, content in enumerate(contents):
        _check_role(content, alone=len(contents) == 1)
        _check_parts(content, f"contents[{at}]")
    system = member(body, "systemInstruction")
    if system is not None:
        _check_parts(as_object(system), "system_instruction")
    _check_turns(contents)
    if model.signs:
        _check_signatures(contents)


def _check_role(content: JsonObject, *, alone: bool) -> None:
    role = content.get("role")
    only_responses = all(member(part, "functionResponse") is not None for part in parts_of(content))
    if role in {"user", "model"} or (role == "function" and only_responses) or (role is None and alone):
        return
    raise refuse("Please use a valid role: user, model.")


def _check_parts(content: JsonObject, where: str) -> None:
    parts = parts_of(content)
    if not parts:
        raise refuse(f"* GenerateContentRequest.{where}.parts: contents.parts must not be empty.")
    for at, part in enumerate(parts):
        place = f"{where}.parts[{at}]"
        kinds = [name for name in DATA_FIELDS if member(part, name) is not None]
        if not kinds or (kinds == ["text"] and not part["text"] and member(part, "thoughtSignature") is None):
            text = f"* GenerateContentRequest.{place}.data: required oneof field 'data' must have one"
            raise refuse(f"{text} initialized field")
        if len(kinds) > 1:
            text = f"Invalid value at '{place}' (oneof), oneof field 'data' is already set. Cannot set"
            raise refuse(f"{text} '{snake(kinds[1])}'")
        _check_data(part, place)


def _check_data(part: JsonObject, place: str) -> None:
    for kind in ("functionCall", "functionResponse"):
        value = member(part, kind)
        if value is not None and not as_text(as_object(value).get("name")):
            raise refuse(f"* GenerateContentRequest.{place}.{snake(kind)}.name: Name cannot be empty.")
    blob = as_object(member(part, "inlineData"))
    if blob:
        _check_bytes(blob.get("data"), f"{place}.inline_data.data")
        if not as_text(member(blob, "mimeType")):
            raise refuse(f"* GenerateContentRequest.{place}.inline_data.mime_type: must be set")
    signature = member(part, "thoughtSignature")
    if signature is None:
        return
    _check_bytes(signature, f"{place}.thought_signature")
    if member(part, "functionResponse") is not None:
        raise refuse("Thought signature is not supported on a function response part.")
    if signature not in PLACEHOLDERS and not is_gemini_signature(as_text(signature)):
        raise refuse("Corrupted thought signature.")


def _check_bytes(value: Json, place: str) -> None:
    text = as_text(value)
    try:
        decoded = urlsafe_b64decode(text) if {"-", "_"} & set(text) else b64decode(text, validate=True)
    except ValueError:
        decoded = b""
    if not decoded:
        shown = f"{text[:16]}..."
        raise refuse(f"Invalid value at '{place}' (TYPE_BYTES), Base64 decoding failed for \"{shown}\"")


def _check_turns(contents: list[JsonObject]) -> None:
    for at, content in enumerate(contents):
        calls = pieces(content, "functionCall")
        before = contents[at - 1] if at else {}
        if calls and before.get("role") not in {"user", "function"}:
            text = "Please ensure that function call turn comes immediately after a user turn or after a"
            raise refuse(f"{text} function response turn.")
        if pieces(content, "functionResponse") and not pieces(before, "functionCall"):
            text = "Please ensure that function response turn comes immediately after a function call turn."
            raise refuse(text)
        if calls:
            _check_answers(calls, contents[at + 1] if at + 1 < len(contents) else {})


def _check_answers(calls: list[JsonObject], after: JsonObject) -> None:
    responses = pieces(after, "functionResponse")
    if len(responses) != len(calls):
        text = (
            "Please ensure that the number of function response parts is equal to the number of function call"
        )
        raise refuse(f"{text} parts of the function call turn.")
    if sorted(as_text(call["name"]) for call in calls) != sorted(as_text(item["name"]) for item in responses):
        text = "Please ensure that the names of the function response parts are those of the function call"
        raise refuse(f"{text} parts of the function call turn.")
    known = {call["id"] for call in calls if isinstance(call.get("id"), str)}
    strangers = [
        item["id"] for item in responses if isinstance(item.get("id"), str) and item["id"] not in known
    ]
    if strangers and len(known) == len(calls):
        raise refuse(f"Function response id '{strangers[0]}' does not match any function call.")


def _check_signatures(contents: list[JsonObject]) -> None:
    """The first call of every step since the user last spoke must be signed."""
    start = max((at for at, content in enumerate(contents) if _speaks(content)), default=0)
    for at in range(start, len(contents)):
        part = next((p for p in parts_of(contents[at]) if member(p, "functionCall") is not None), None)
        if part is None or member(part, "thoughtSignature") is not None:
            continue
        name = as_object(member(part, "functionCall"))["name"]
        text = "Function call is missing a thought_signature in functionCall parts. This is required for"
        text += " tools to work correctly, and missing thought_signature may lead to degraded model"
        text += f" performance. Additional data, function call `default_api:{name}` , position {at + 1}."
        text += " Please refer to"
        raise refuse(f"{text} https://ai.google.dev/gemini-api/docs/thought-signatures for more details.")


def _speaks(content: JsonObject) -> bool:
    return content.get("role") == "user" and not pieces(content, "functionResponse")
