"""What a conversation sent to Claude must look like from message to message."""

from base64 import b64decode
from collections.abc import Iterator

from emulators.check import Either, List, Map, Obj, Problem, Str
from emulators.claude_rules import (
    ASSISTANT_BLOCK,
    CACHE,
    PICTURES,
    USER_BLOCK,
    Model,
    refuse,
)
from emulators.signing import is_claude_signature
from emulators.values import Json, JsonObject, as_object, as_text, objects

SYSTEM_BETA = "mid-conversation-system-2026-04-07"
CACHE_LIMIT = 4
_ROLES = {"user": USER_BLOCK, "assistant": ASSISTANT_BLOCK, "system": USER_BLOCK}


def blocks_of(content: Json) -> list[JsonObject]:
    """Content as blocks; a string is one text block."""
    return [{"type": "text", "text": content}] if isinstance(content, str) else objects(content)


def check_messages(body: JsonObject, betas: frozenset[str]) -> None:
    """Shapes, roles, empties and pairing of the whole history; raises `Refusal` or `Problem`."""
    messages = objects(body["messages"])
    for at, message in enumerate(messages):
        _check_message(message, at, betas)
    if messages[0]["role"] != "user":
        raise refuse('messages: first message must use the "user" role')
    for at, message in enumerate(messages):
        final = at == len(messages) - 1 and message["role"] == "assistant"
        _check_content(blocks_of(message["content"]), at, final=final)
    _check_pairing(messages)


def _check_message(message: JsonObject, at: int, betas: frozenset[str]) -> None:
    role = message.get("role")
    if role is None:
        raise Problem("missing", ("messages", at, "role"))
    if role == "system" and SYSTEM_BETA not in betas:
        text = 'messages: Unexpected role "system". The Messages API accepts a top-level `system` parameter,'
        raise refuse(f'{text} not "system" as an input message role.')
    if not isinstance(role, str) or role not in _ROLES:
        raise refuse(f'messages: Unexpected role "{role}". Allowed roles are "user" or "assistant".')
    shape = Obj(
        {"role": Str(), "content": Either((Str(), List(Map())))},
        ("role", "content"),
    )
    shape.check(message, ("messages", at))
    for inner, block in enumerate(objects(message["content"])):
        _ROLES[role].check(block, ("messages", at, "content", inner))


def _check_content(blocks: list[JsonObject], at: int, *, final: bool) -> None:
    if not blocks or (blocks[0].get("text") == "" and len(blocks) == 1 and not final):
        if final:
            return
        text = "all messages must have non-empty content except for the optional final assistant message"
        raise refuse(f"messages.{at}: {text}")
    if final and as_text(blocks[-1].get("text")) != as_text(blocks[-1].get("text")).rstrip():
        raise refuse("messages: final assistant content cannot end with trailing whitespace")
    for inner, block in enumerate(_nested(blocks)):
        if block["type"] == "text" and not as_text(block["text"]).strip():
            word = "must be non-empty" if not block["text"] else "must contain non-whitespace text"
            raise refuse(f"messages: text content blocks {word}")
        _check_picture(block, f"messages.{at}.content.{inner}")


def _nested(blocks: list[JsonObject]) -> Iterator[JsonObject]:
    """The blocks, and those inside tool results."""
    for block in blocks:
        yield block
        if block["type"] == "tool_result":
            yield from objects(block.get("content"))


def _check_picture(block: JsonObject, where: str) -> None:
    source = as_object(block.get("source"))
    if source.get("type") != "base64":
        return
    try:
        data = b64decode(as_text(source["data"]), validate=True)
    except ValueError:
        raise refuse(f"{where}.{block['type']}.source.base64: invalid base64 data") from None
    if block["type"] == "image" and source["media_type"] in PICTURES and not data:
        raise refuse(f"{where}.image.source.base64.data: image cannot be empty")


def _check_pairing(messages: list[JsonObject]) -> None:
    """Each call has its result in the next message, at its start; each result its call in the one before."""
    pending: list[str] = []
    seen: set[str] = set()
    for at, message in enumerate(messages):
        if message["role"] == "system":
            continue
        blocks = blocks_of(message["content"])
        results = [as_text(block["tool_use_id"]) for block in blocks if block["type"] == "tool_result"]
        _check_results(blocks, pending, results, at)
        pending = [as_text(block["id"]) for block in blocks if block["type"] == "tool_use"]
        if len(set(pending)) != len(pending) or seen & set(pending):
            raise refuse("messages: `tool_use` ids must be unique")
        seen |= set(pending)
    if pending:
        raise _unanswered(pending, len(messages) - 1)


def _check_results(blocks: list[JsonObject], pending: list[str], results: list[str], at: int) -> None:
    for inner, block in enumerate(blocks):
        if block["type"] == "tool_result" and block["tool_use_id"] not in pending:
            text = f"messages.{at}.content.{inner}: unexpected `tool_use_id` found in `tool_result` blocks:"
            text += f" {block['tool_use_id']}. Each `tool_result` block must have a corresponding `tool_use`"
            raise refuse(f"{text} block in the previous message.")
    if len(set(results)) != len(results):
        text = f"messages.{at}.content: each tool_use must have a single result. Found multiple `tool_result`"
        raise refuse(f"{text} blocks with id: {results[0]}")
    missing = [call for call in pending if call not in results]
    if missing:
        raise _unanswered(missing, at - 1)
    kinds = [block["type"] == "tool_result" for block in blocks]
    if any(kinds) and sorted(kinds, reverse=True) != kinds:
        raise _unanswered(pending, at - 1)


def _unanswered(calls: list[str], at: int) -> Exception:
    text = f"messages.{at}: `tool_use` ids were found without `tool_result` blocks immediately after:"
    text += f" {', '.join(calls)}. Each `tool_use` block must have a corresponding `tool_result` block in the"
    return refuse(f"{text} next message.")


def check_thinking_blocks(body: JsonObject, model: Model) -> None:
    """Thinking in the history is the service's own and leads its message."""
    messages = objects(body["messages"])
    for at, message in enumerate(messages):
        blocks = blocks_of(message["content"])
        kinds = [block["type"] in {"thinking", "redacted_thinking"} for block in blocks]
        for inner, block in enumerate(blocks):
            _check_signature(block, at, inner)
        if any(kinds) and not kinds[0]:
            text = "If an assistant message contains any thinking blocks, the first block must be `thinking`"
            text += f" or `redacted_thinking`. Found `{blocks[0]['type']}`."
            raise refuse(f"messages.{at}.content.0: {text}")
    if as_object(body.get("thinking")).get("type") == "enabled":
        _check_open_loop(messages)
    if not model.takes_prefill and messages[-1]["role"] == "assistant":
        text = "This model does not support assistant message prefill. The conversation must end with a user"
        raise refuse(f"{text} message.")


def _check_signature(block: JsonObject, at: int, inner: int) -> None:
    where = f"messages.{at}.content.{inner}"
    if block["type"] == "thinking":
        if not is_claude_signature(as_text(block["signature"]), as_text(block["thinking"])):
            raise refuse(f"{where}: Invalid `signature` in `thinking` block")
    elif block["type"] == "redacted_thinking" and not is_claude_signature(as_text(block["data"]), ""):
        raise refuse(f"{where}: Invalid `data` in `redacted_thinking` block")


def _check_open_loop(messages: list[JsonObject]) -> None:
    """While results are being returned, the assistant turn of the loop must start with its thinking."""
    last = messages[-1]
    if last["role"] == "user" and not any(
        block["type"] == "tool_result" for block in blocks_of(last["content"])
    ):
        return
    for at in range(len(messages) - 1, -1, -1):
        if messages[at]["role"] == "assistant":
            first = blocks_of(messages[at]["content"])[0]
            if first["type"] not in {"thinking", "redacted_thinking"}:
                text = f"messages.{at}.content.0.type: Expected `thinking` or `redacted_thinking`, but found"
                text += f" `{first['type']}`. When `thinking` is enabled, a final `assistant` message must"
                text += " start with a thinking block (preceeding the lastmost set of `tool_use` and"
                raise refuse(f"{text} `tool_result` blocks).")
            return


def check_cache_marks(body: JsonObject) -> None:
    """At most four marks, the one-hour ones first, none on empty text."""
    marks: list[Json] = []
    for block in _markable(body):
        mark = block.get("cache_control")
        if mark is None:
            continue
        CACHE.check(mark, ("cache_control",))
        if block.get("text") == "":
            raise refuse("cache_control cannot be set for empty text blocks")
        marks.append(as_object(mark).get("ttl", "5m"))
    if len(marks) > CACHE_LIMIT:
        raise refuse(f"A maximum of 4 blocks with cache_control may be provided. Found {len(marks)}.")
    if "5m" in marks and "1h" in marks[marks.index("5m") :]:
        text = "a ttl='1h' cache_control block must not come after a ttl='5m' cache_control block. Note that"
        raise refuse(f"{text} blocks are processed in the following order: `tools`, `system`, `messages`.")


def _markable(body: JsonObject) -> Iterator[JsonObject]:
    yield from objects(body.get("tools"))
    yield from objects(body.get("system"))
    for message in objects(body["messages"]):
        yield from _nested(objects(message["content"]))
