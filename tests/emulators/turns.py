"""What an emulated model says: a `Turn` of blocks, an ending and token counts, for every vendor.

Every family renders the same turn in its own grammar. A turn comes either from a script (`turn_from_json`)
or from the keywords of the prompt (scenario.py). Token counts are disjoint-free totals: `input` includes
the cached part and `output` includes reasoning; families whose vendor counts otherwise do the subtraction.
"""

from typing import TypeAlias

from attrs import evolve, frozen

from emulators.values import Json, JsonObject, as_object, as_text, dumps, objects

FINISHES = ("stop", "length", "tool_calls", "refusal", "stop_sequence", "pause")


@frozen
class Text:
    """Ordinary answer text, cut into `deltas` when streamed."""

    text: str
    deltas: tuple[str, ...]


@frozen
class Thinking:
    """Reasoning text; families without a visible form only count it."""

    text: str
    deltas: tuple[str, ...]


@frozen
class Call:
    """A tool call; `arguments` is JSON text, not necessarily valid when a script says so.

    A freeform call (`custom`) carries plain text instead of JSON.
    """

    name: str
    arguments: str
    id: str = ""
    custom: bool = False


@frozen
class Image:
    """A generated picture."""

    data: str
    mime: str = "image/png"


@frozen
class Decline:
    """The model says that it will not help."""

    text: str


Block: TypeAlias = Text | Thinking | Call | Image | Decline


@frozen(kw_only=True)
class Tally:
    """Token counts of one answer."""

    input: int = 23
    cache_read: int = 5
    cache_write: int = 0
    output: int = 11
    reasoning: int = 0


@frozen(kw_only=True)
class Turn:
    """One model answer."""

    blocks: tuple[Block, ...] = ()
    finish: str = "stop"
    tally: Tally = Tally()
    stop_sequence: str | None = None

    def calls(self) -> tuple[Call, ...]:
        """The tool calls in order."""
        return tuple(block for block in self.blocks if isinstance(block, Call))

    def thinks(self) -> bool:
        """Whether any reasoning takes place."""
        return any(isinstance(block, Thinking) for block in self.blocks)


def cut(text: str, size: int = 0) -> tuple[str, ...]:
    """Cut text into deltas: `size` characters each, or (0) a few words each."""
    if size > 0:
        return tuple(text[at : at + size] for at in range(0, len(text), size))
    words = text.split(" ")
    parts = [" ".join(words[at : at + 2]) for at in range(0, len(words), 2)]
    return (*(part + " " for part in parts[:-1]), parts[-1]) if text else ()


def text_block(text: str, size: int = 0) -> Text:
    """A text block with its deltas."""
    return Text(text, cut(text, size))


def thinking_block(text: str, size: int = 0) -> Thinking:
    """A thinking block with its deltas."""
    return Thinking(text, cut(text, size))


def counted(turn: Turn, prompt_size: int) -> Turn:
    """Give a turn plausible token counts: one token for each four characters."""
    visible = sum(_size(block) for block in turn.blocks if not isinstance(block, Thinking))
    hidden = sum(_size(block) for block in turn.blocks if isinstance(block, Thinking))
    reasoning = hidden // 4 + 1 if hidden else 0
    prompt = max(8, prompt_size // 4)
    output = visible // 4 + 1 + reasoning
    tally = Tally(input=prompt, cache_read=prompt // 4, output=output, reasoning=reasoning)
    return evolve(turn, tally=tally)


def turn_from_json(value: JsonObject) -> Turn:
    """Read a scripted turn; raises ValueError naming what is wrong."""
    unknown = set(value) - {"blocks", "finish", "usage", "delta", "stop_sequence"}
    if unknown:
        msg = f"turn: unknown keys {sorted(unknown)}"
        raise ValueError(msg)
    finish = as_text(value.get("finish")) or _natural_finish(objects(value.get("blocks")))
    if finish not in FINISHES:
        msg = f"turn: finish must be one of {FINISHES}"
        raise ValueError(msg)
    size = value.get("delta")
    delta = size if isinstance(size, int) else 0
    return Turn(
        blocks=tuple(_block(item, delta) for item in objects(value.get("blocks"))),
        finish=finish,
        tally=_tally(as_object(value.get("usage"))),
        stop_sequence=as_text(value.get("stop_sequence")) or None,
    )


def _natural_finish(blocks: list[JsonObject]) -> str:
    if any("call" in block for block in blocks):
        return "tool_calls"
    return "refusal" if any("refusal" in block for block in blocks) else "stop"


def _tally(value: JsonObject) -> Tally:
    known = Tally()
    names = ("input", "cache_read", "cache_write", "output", "reasoning")
    counts = {name: value.get(name, getattr(known, name)) for name in names}
    if set(value) - set(names) or not all(isinstance(count, int) for count in counts.values()):
        msg = f"turn: usage takes whole numbers for {names}"
        raise ValueError(msg)
    return evolve(known, **counts)


def _block(item: JsonObject, size: int) -> Block:
    match item:
        case {"text": str(text)}:
            return text_block(text, size)
        case {"text_size": int(length)}:
            return Text("x" * length, ("x" * length,))
        case {"deltas": list(parts)}:
            texts = tuple(as_text(part) for part in parts)
            return Text("".join(texts), texts)
        case {"thinking": str(text)}:
            return thinking_block(text, size)
        case {"call": str(name)}:
            custom = item.get("custom") is True
            return Call(name, _arguments(item.get("arguments", {})), as_text(item.get("id")), custom)
        case {"image": str(data)}:
            return Image(data, as_text(item.get("mime")) or "image/png")
        case {"refusal": str(text)}:
            return Decline(text)
        case _:
            msg = f"turn: unknown block {item!r}"
            raise ValueError(msg)


def _arguments(value: Json) -> str:
    return value if isinstance(value, str) else dumps(value).decode()


def _size(block: Block) -> int:
    match block:
        case Call():
            return len(block.name) + len(block.arguments)
        case Image():
            return 1000
        case _:
            return len(block.text)


def sample(schema: JsonObject, name: str = "value") -> Json:
    """A fixed instance of a JSON Schema, the same for the same schema every time."""
    for keyword in ("const", "default", "example"):
        if keyword in schema:
            return schema[keyword]
    choices = schema.get("enum")
    if isinstance(choices, list) and choices:
        return choices[0]
    for keyword in ("anyOf", "oneOf", "allOf"):
        branches = objects(schema.get(keyword))
        if branches:
            return sample(branches[0], name)
    return _sample_of_type(schema, name)


def _sample_of_type(schema: JsonObject, name: str) -> Json:
    kind = schema.get("type")
    first = kind[0] if isinstance(kind, list) and kind else kind
    match as_text(first).lower():
        case "object":
            properties = as_object(schema.get("properties"))
            return {key: sample(as_object(value), key) for key, value in properties.items()}
        case "array":
            return [sample(as_object(schema.get("items")), name)]
        case "integer":
            return schema.get("minimum", 7)
        case "number":
            return schema.get("minimum", 1.5)
        case "boolean":
            return True
        case "null":
            return None
        case _:
            return {} if "properties" in schema else f"sample {name}"
