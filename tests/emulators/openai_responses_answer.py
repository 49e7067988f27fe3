"""A turn as a Responses object, or as the sequence of events that builds it.

Items are opened, filled and closed one after the other; `output_index` counts them and `sequence_number`
counts events. The closing event repeats the whole object. Reasoning appears as an item of its own: a
summary only when one was asked for, sealed content only when `include` names it.
"""

from collections.abc import Iterator

from attrs import evolve, frozen

from emulators.signing import openai_encrypted
from emulators.turns import Block, Call, Decline, Image, Text, Thinking, Turn, cut
from emulators.values import (
    SSE_TYPE,
    Answer,
    Ids,
    Json,
    JsonObject,
    as_list,
    as_object,
    dumps,
    json_answer,
    objects,
)

_ECHOED: JsonObject = {
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "safety_identifier": None,
    "service_tier": "auto",
    "store": True,
    "temperature": 1.0,
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
    "metadata": {},
}


@frozen(kw_only=True)
class Reply:
    """Everything that shapes one Responses answer besides the turn."""

    body: JsonObject
    ids: Ids
    now: float

    @property
    def wants_summary(self) -> bool:
        """Whether reasoning summaries were asked for."""
        return as_object(self.body.get("reasoning")).get("summary") is not None

    @property
    def wants_sealed(self) -> bool:
        """Whether sealed reasoning was asked for."""
        return "reasoning.encrypted_content" in as_list(self.body.get("include"))


@frozen
class Item:
    """An output item, with the block it shows."""

    block: Block
    value: JsonObject


def responses_answer(reply: Reply, turn: Turn) -> tuple[Answer, JsonObject]:
    """Render a turn the way the request asks for it; also returns the finished object."""
    items = [_item(reply, block) for block in turn.blocks]
    shell = _shell(reply)
    whole = _finished(shell, turn, items)
    if reply.body.get("stream") is not True:
        return json_answer(whole), whole
    events = _numbered(_events(reply, shell, whole, items))
    error: JsonObject = {
        "type": "error",
        "code": "server_error",
        "message": "The server had an error while processing your request. Sorry about that!",
        "param": None,
    }
    failed = {**shell, "status": "failed", "error": {"code": "server_error", "message": error["message"]}}
    troubles: list[JsonObject] = [error, {"type": "response.failed", "response": failed}]
    answer = Answer(
        headers=(("content-type", SSE_TYPE),),
        pieces=tuple(events),
        is_stream=True,
        terminal=1,
        error_piece=b"".join(_numbered(iter(troubles), 1000)),
    )
    return answer, whole


def compact_answer(reply: Reply) -> JsonObject:
    """What the conversation becomes: the user's messages, and one sealed item for everything else."""
    given = reply.body["input"]
    said = [{"role": "user", "content": given}] if isinstance(given, str) else objects(given)
    size = len(dumps(given)) // 4
    return {
        "id": reply.ids.next("resp_", 48),
        "object": "response.compaction",
        "created_at": int(reply.now),
        "output": [*(_kept(reply, item) for item in said if item.get("role") == "user"), _sealed(reply)],
        "usage": {
            "input_tokens": size,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": 20,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": size + 20,
        },
    }


def _kept(reply: Reply, item: JsonObject) -> JsonObject:
    content = item["content"]
    parts: Json = [{"type": "input_text", "text": content}] if isinstance(content, str) else content
    name = reply.ids.next("msg_", 48)
    return {"id": name, "type": "message", "role": "user", "status": "completed", "content": parts}


def _sealed(reply: Reply) -> JsonObject:
    sealed = openai_encrypted(dumps(reply.body["input"]).decode())
    return {"id": reply.ids.next("cmp_", 48), "type": "compaction", "encrypted_content": sealed}


def _shell(reply: Reply) -> JsonObject:
    """The response object before anything was generated."""
    body = reply.body
    echoed = {key: body.get(key) if body.get(key) is not None else value for key, value in _ECHOED.items()}
    asked = as_object(body.get("reasoning"))
    return {
        "id": reply.ids.next("resp_", 48),
        "object": "response",
        "created_at": int(reply.now),
        "status": "in_progress",
        "background": False,
        "completed_at": None,
        "error": None,
        "incomplete_details": None,
        "model": body["model"],
        "output": [],
        "reasoning": {"effort": asked.get("effort"), "summary": asked.get("summary")},
        "text": {"format": {"type": "text"}, "verbosity": "medium", **as_object(body.get("text"))},
        "usage": None,
        **echoed,
    }


def _finished(shell: JsonObject, turn: Turn, items: list[Item]) -> JsonObject:
    cut_short = turn.finish == "length"
    tally = turn.tally
    output: list[Json] = [item.value for item in items]
    if cut_short and output:
        output[-1] = {**as_object(output[-1]), "status": "incomplete"}
    return {
        **shell,
        "status": "incomplete" if cut_short else "completed",
        "incomplete_details": {"reason": "max_output_tokens"} if cut_short else None,
        "completed_at": None if cut_short else shell["created_at"],
        "output": output,
        "usage": {
            "input_tokens": tally.input,
            "input_tokens_details": {"cached_tokens": tally.cache_read, "cache_write_tokens": 0},
            "output_tokens": tally.output,
            "output_tokens_details": {"reasoning_tokens": tally.reasoning},
            "total_tokens": tally.input + tally.output,
        },
    }


def _item(reply: Reply, block: Block) -> Item:
    ids = reply.ids
    match block:
        case Text() | Decline():
            value: JsonObject = {
                "id": ids.next("msg_", 48),
                "type": "message",
                "status": "completed",
                "content": [_part(block)],
                "role": "assistant",
            }
        case Thinking():
            value = {
                "id": ids.next("rs_", 48),
                "type": "reasoning",
                "summary": [{"type": "summary_text", "text": block.text}] if reply.wants_summary else [],
            }
            if reply.wants_sealed:
                value["encrypted_content"] = openai_encrypted(block.text)
        case Call():
            block = evolve(block, id=block.id or ids.next("call_"))
            value = _call_item(reply, block)
        case Image():
            value = {
                "id": ids.next("ig_", 48),
                "type": "image_generation_call",
                "status": "completed",
                "output_format": block.mime.partition("/")[2],
                "result": block.data,
            }
    return Item(block, value)


def _call_item(reply: Reply, call: Call) -> JsonObject:
    kind, prefix, slot = ("custom_tool_call", "ctc_", "input") if call.custom else _FUNCTION_KIND
    value: JsonObject = {
        "id": reply.ids.next(prefix, 48),
        "type": kind,
        "status": "completed",
        slot: call.arguments,
        "call_id": call.id,
        "name": call.name,
    }
    owner = _namespace_of(call.name, as_list(reply.body.get("tools")))
    return {**value, "namespace": owner} if owner else value


_FUNCTION_KIND = ("function_call", "fc_", "arguments")


def _namespace_of(name: str, tools: list[Json]) -> Json:
    for tool in map(as_object, tools):
        if tool.get("type") == "namespace" and name in [
            as_object(t).get("name") for t in as_list(tool["tools"])
        ]:
            return tool["name"]
    return None


def _part(block: Text | Decline) -> JsonObject:
    if isinstance(block, Decline):
        return {"type": "refusal", "refusal": block.text}
    return {"type": "output_text", "annotations": [], "logprobs": [], "text": block.text}


def _events(reply: Reply, shell: JsonObject, whole: JsonObject, items: list[Item]) -> Iterator[JsonObject]:
    yield {"type": "response.created", "response": shell}
    yield {"type": "response.in_progress", "response": shell}
    options = as_object(reply.body.get("stream_options"))
    for index, (item, final) in enumerate(zip(items, as_list(whole["output"]), strict=True)):
        value = as_object(final)
        yield {"type": "response.output_item.added", "output_index": index, "item": _opened(value)}
        for event in _filling(item, index):
            padded = event["type"] == "response.output_text.delta" and options.get(
                "include_obfuscation", True
            )
            yield {**event, "obfuscation": "x" * 8} if padded else event
        yield {"type": "response.output_item.done", "output_index": index, "item": value}
    yield {"type": f"response.{whole['status']}", "response": whole}


def _opened(value: JsonObject) -> JsonObject:
    """An item as it looks when it begins."""
    emptied: JsonObject = {
        "status": "in_progress",
        "content": [],
        "arguments": "",
        "input": "",
        "summary": [],
    }
    emptied["result"] = None
    kept = {key: emptied.get(key, known) for key, known in value.items()}
    if value["type"] == "reasoning" and "encrypted_content" in value:
        kept["encrypted_content"] = openai_encrypted("")
    return kept


def _filling(item: Item, index: int) -> Iterator[JsonObject]:
    where: JsonObject = {"item_id": item.value["id"], "output_index": index}
    match item.block:
        case Text() | Decline() as block:
            yield from _message_events(block, {**where, "content_index": 0})
        case Thinking() as block if item.value["summary"]:
            yield from _summary_events(block, {**where, "summary_index": 0})
        case Call() as call:
            yield from _call_events(call, where)
        case Image():
            yield {"type": "response.image_generation_call.in_progress", **where}
            yield {"type": "response.image_generation_call.generating", **where}
            yield {"type": "response.image_generation_call.completed", **where}
        case _:
            pass


def _message_events(block: Text | Decline, where: JsonObject) -> Iterator[JsonObject]:
    part = _part(block)
    extra: JsonObject = {}
    if isinstance(block, Decline):
        kind, slot, deltas = "response.refusal", "refusal", cut(block.text)
    else:
        kind, slot, deltas = "response.output_text", "text", block.deltas
        extra = {"logprobs": []}
    yield {"type": "response.content_part.added", **where, "part": {**part, slot: ""}}
    for delta in deltas:
        yield {"type": f"{kind}.delta", **where, "delta": delta, **extra}
    yield {"type": f"{kind}.done", **where, slot: block.text, **extra}
    yield {"type": "response.content_part.done", **where, "part": part}


def _summary_events(block: Thinking, where: JsonObject) -> Iterator[JsonObject]:
    start = "response.reasoning_summary"
    yield {"type": f"{start}_part.added", **where, "part": {"type": "summary_text", "text": ""}}
    for delta in block.deltas:
        yield {"type": f"{start}_text.delta", **where, "delta": delta}
    yield {"type": f"{start}_text.done", **where, "text": block.text}
    yield {"type": f"{start}_part.done", **where, "part": {"type": "summary_text", "text": block.text}}


def _call_events(call: Call, where: JsonObject) -> Iterator[JsonObject]:
    kind, slot = (
        ("custom_tool_call_input", "input") if call.custom else ("function_call_arguments", "arguments")
    )
    for fragment in cut(call.arguments, 6):
        yield {"type": f"response.{kind}.delta", **where, "delta": fragment}
    done: JsonObject = {"type": f"response.{kind}.done", **where, slot: call.arguments}
    yield done if call.custom else {**done, "name": call.name}


def _numbered(events: Iterator[JsonObject], start: int = 0) -> Iterator[bytes]:
    for number, event in enumerate(events, start):
        kind = event["type"]
        yield f"event: {kind}\ndata: ".encode() + dumps({**event, "sequence_number": number}) + b"\n\n"
