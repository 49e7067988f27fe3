"""Chunks of the chat wire, as small as they can be."""


def chunk(delta: dict | None = None, finish_reason: str | None = None, **members: object) -> dict:
    """A chunk with one choice; keyword arguments replace its members."""
    choice = {"index": 0, "delta": delta or {}, "finish_reason": finish_reason}
    return {
        "id": "c1",
        "object": "chat.completion.chunk",
        "created": 5,
        "model": "m",
        "choices": [choice],
        **members,
    }


def call(index: int | None = 0, arguments: object = None, **members: object) -> dict:
    """A delta of one call."""
    function = {key: members.pop(key) for key in ("name",) if key in members}
    if arguments is not None:
        function["arguments"] = arguments
    entry = {**members, "function": function}
    if index is not None:
        entry["index"] = index
    return {"tool_calls": [entry]}
