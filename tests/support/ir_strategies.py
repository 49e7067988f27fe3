"""Hypothesis strategies for the hub: events in legal order, requests and answers as the repair passes leave
them.

:func:`events` gives sequences that keep every promise :mod:`cliproxy.ir.events` makes and no other: blocks
overlap, text is cut anywhere, arguments come in pieces, in one piece or not at all, usage comes early, late
or repeatedly, finish reasons do not fit what was said, and the end may be an error. A grammar checker that
accepts what an encoder makes of them accepts what it will make of any upstream.

:func:`requests` and :func:`responses` give values that any dialect should at least survive. Where a test
needs values that a dialect can carry without loss, it narrows them with the keyword arguments or filters.
"""

from collections.abc import Callable, Sequence

from hypothesis import strategies as st

from cliproxy.errors import Kind
from cliproxy.ir.events import (
    Annotation,
    ArgsDelta,
    ArgsDone,
    BlockKind,
    BlockStart,
    BlockStop,
    End,
    Event,
    ExtrasUpdate,
    Finish,
    ImageDone,
    OpaqueBlock,
    Ping,
    SignatureDelta,
    Start,
    StreamError,
    TextDelta,
    ThinkingBreak,
    ThinkingDelta,
    UsageUpdate,
)
from cliproxy.ir.request import (
    Audio,
    CallKind,
    Document,
    Family,
    Image,
    Inline,
    IRRequest,
    Message,
    Opaque,
    OutputFormat,
    Part,
    Reasoning,
    Refusal,
    Remote,
    Sampling,
    Signature,
    SystemText,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolKind,
    ToolResult,
)
from cliproxy.ir.response import Choice, Ending, FinishReason, IRResponse, Usage
from cliproxy.wire.jsontext import JsonObject, JsonValue, dumps_text

# --- small things ---

AWKWARD_TEXTS = (
    "line\u2028separator",
    "nel\u0085",
    "🦊",
    "e\u0301",
    '"quoted"\\',
    "</x> & <y>",
    "\r\n\t",
    "\x00",
)

texts = st.one_of(st.text(min_size=1, max_size=30), st.sampled_from(AWKWARD_TEXTS))
"""Text that is not empty."""
words = st.from_regex(r"[A-Za-z][A-Za-z0-9_]{0,11}", fullmatch=True)
tool_names = words
call_ids = st.integers(0, 10**9).map(lambda number: f"call_{number:x}")
counts = st.integers(0, 10**7)
numbers = st.floats(0, 1, allow_nan=False).map(lambda value: round(value, 3))
families = st.sampled_from(list(Family))
base64_texts = st.sampled_from(["aGVsbG8=", "AAECAw==", "8J+mig==", "iVBORw0KGgo="])

json_values: st.SearchStrategy[JsonValue] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
json_objects: st.SearchStrategy[JsonObject] = st.dictionaries(st.text(max_size=8), json_values, max_size=4)
argument_texts = json_objects.map(dumps_text)
"""JSON text of an object: what a well-behaved model writes as arguments."""

signatures = st.builds(Signature, st.from_regex(r"[A-Za-z0-9+/]{8,40}={0,2}", fullmatch=True), families)


@st.composite
def pieces(draw: st.DrawFn, text: str) -> list[str]:
    """A text cut anywhere, into pieces that are not empty."""
    cuts = sorted(draw(st.sets(st.integers(1, len(text) - 1), max_size=4))) if len(text) > 1 else []
    return [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True) if text]


usages = st.builds(
    Usage,
    fresh_input=st.none() | counts,
    cache_read=st.none() | counts,
    cache_write=st.none() | counts,
    output=st.none() | counts,
    reasoning=st.none() | counts,
)
endings = st.one_of(
    st.sampled_from([reason for reason in FinishReason if reason is not FinishReason.STOP_SEQUENCE]).map(
        Ending
    ),
    st.builds(Ending, st.just(FinishReason.STOP_SEQUENCE), stop_sequence=texts),
    st.builds(Ending, st.sampled_from(FinishReason), native=words),
)
opaques = st.builds(
    Opaque, dialect=st.sampled_from(["claude", "openai-response"]), kind=words, raw=json_objects
)

# --- events ---

ALL_KINDS = tuple(BlockKind)


def _text_block(draw: st.DrawFn, index: int) -> list[Event]:
    inner: list[Event] = [TextDelta(index, piece) for piece in draw(pieces(draw(texts)))]
    if draw(st.integers(0, 4)) == 0:
        inner.append(Annotation(index, draw(json_objects), draw(st.sampled_from(["openai", "claude"]))))
    return inner + _maybe_signature(draw, index)


def _thinking_block(draw: st.DrawFn, index: int) -> list[Event]:
    inner: list[Event] = []
    for number, paragraph in enumerate(draw(st.lists(texts, max_size=3))):
        if number:
            inner.append(ThinkingBreak(index))
        inner += [ThinkingDelta(index, piece) for piece in draw(pieces(paragraph))]
    return inner + _maybe_signature(draw, index)


def _call_block(draw: st.DrawFn, index: int) -> list[Event]:
    arguments = draw(st.one_of(argument_texts, texts, st.just("")))
    inner: list[Event] = []
    if draw(st.booleans()):
        inner += [ArgsDelta(index, piece) for piece in draw(pieces(arguments))]
    if draw(st.booleans()):
        inner.append(ArgsDone(index, arguments))
    return inner + _maybe_signature(draw, index)


def _maybe_signature(draw: st.DrawFn, index: int) -> list[Event]:
    if draw(st.integers(0, 3)):
        return []
    signature = draw(signatures)
    return [SignatureDelta(index, signature.value, signature.family)]


def _redacted_block(draw: st.DrawFn, index: int) -> list[Event]:
    signature = draw(signatures)
    return [SignatureDelta(index, signature.value, signature.family)]


def _image_block(draw: st.DrawFn, index: int) -> list[Event]:
    return [ImageDone(index, "image/png", draw(base64_texts), partial=draw(st.booleans()))]


def _opaque_block(draw: st.DrawFn, index: int) -> list[Event]:
    return [OpaqueBlock(index, draw(opaques))]


_INNER: dict[BlockKind, Callable[[st.DrawFn, int], list[Event]]] = {
    BlockKind.TEXT: _text_block,
    BlockKind.REFUSAL: lambda draw, index: [TextDelta(index, piece) for piece in draw(pieces(draw(texts)))],
    BlockKind.THINKING: _thinking_block,
    BlockKind.REDACTED: _redacted_block,
    BlockKind.TOOL_CALL: _call_block,
    BlockKind.CUSTOM_TOOL_CALL: _call_block,
    BlockKind.IMAGE: _image_block,
    BlockKind.OPAQUE: _opaque_block,
}
_CALLS = (BlockKind.TOOL_CALL, BlockKind.CUSTOM_TOOL_CALL)


def _block(draw: st.DrawFn, index: int, kind: BlockKind, choice: int) -> list[Event]:
    start = BlockStart(index, kind, choice)
    if kind in _CALLS:
        start = BlockStart(index, kind, choice, call_id=f"call_{index}", name=draw(tool_names))
    return [start, *_INNER[kind](draw, index), BlockStop(index)]


def _interleaved(draw: st.DrawFn, blocks: list[list[Event]]) -> list[Event]:
    """Run blocks against each other; they open in the order of their indexes."""
    waiting = [list(block) for block in blocks]
    running: list[list[Event]] = []
    merged: list[Event] = []
    while waiting or running:
        at = draw(st.integers(0, len(running) - (0 if waiting else 1)))
        if at == len(running):
            running.append(waiting.pop(0))
        merged.append(running[at].pop(0))
        if not running[at]:
            running.pop(at)
    return merged


_asides = st.one_of(
    st.just(Ping()),
    usages.map(UsageUpdate),
    st.sampled_from([None, 0]).map(
        lambda choice: ExtrasUpdate({"openai": {"odd": [1]}, "x": {"y": 1}}, choice)
    ),
)
errors = st.builds(
    StreamError,
    kind=st.sampled_from(Kind),
    message=texts,
    status=st.sampled_from([0, 400, 401, 404, 429, 500, 503, 529]),
    code=st.just("") | words,
    retry_after=st.none() | st.floats(0, 600),
)


@st.composite
def events(
    draw: st.DrawFn,
    *,
    kinds: Sequence[BlockKind] = ALL_KINDS,
    max_blocks: int = 4,
    max_choices: int = 2,
    overlapping: bool = True,
    finished: bool = False,
    failing: bool = True,
) -> list[Event]:
    """A legal sequence. ``finished``: every choice has a finish reason and the end is clean."""
    choices = draw(st.integers(1, max_choices))
    blocks = [
        _block(draw, index, draw(st.sampled_from(kinds)), draw(st.integers(0, choices - 1)))
        for index in range(draw(st.integers(0, max_blocks)))
    ]
    body = _interleaved(draw, blocks) if overlapping else [event for block in blocks for event in block]
    for aside in draw(st.lists(_asides, max_size=2)):
        body.insert(draw(st.integers(0, len(body))), aside)
    body += [Finish(draw(endings), choice) for choice in range(choices) if finished or draw(st.booleans())]
    if draw(st.booleans()):
        body.append(UsageUpdate(draw(usages)))
    sequence: list[Event] = [draw(starts), *body]
    if failing and draw(st.integers(0, 4)) == 0:
        return [*sequence[: draw(st.integers(0, len(sequence)))], draw(errors)]
    return [*sequence, End(clean=finished or draw(st.booleans()))]


starts = st.builds(
    Start,
    id=st.just("") | words.map("id-{}".format),
    model=st.just("") | words,
    created=st.sampled_from([0, 1_700_000_000]),
    usage=st.none() | usages,
)

# --- answers ---

plain_texts = texts.map(Text)
thinkings = st.one_of(
    st.builds(Thinking, text=texts, signature=st.none() | signatures),
    st.lists(texts, min_size=2, max_size=3).map(lambda said: Thinking("\n\n".join(said), summary=said)),
    signatures.map(lambda signature: Thinking(redacted=signature)),
)
function_calls = st.builds(ToolCall, id=call_ids, name=tool_names, arguments=argument_texts)
custom_calls = st.builds(
    ToolCall, id=call_ids, name=tool_names, arguments=texts, kind=st.just(CallKind.CUSTOM)
)
generated_images = st.builds(Image, st.builds(Inline, st.just("image/png"), base64_texts))
answer_parts: st.SearchStrategy[Part] = st.one_of(
    plain_texts, thinkings, function_calls, custom_calls, texts.map(Refusal), generated_images, opaques
)


@st.composite
def responses(
    draw: st.DrawFn, *, parts: st.SearchStrategy[Part] = answer_parts, max_choices: int = 2
) -> IRResponse:
    """An answer. ``parts`` narrows what it says."""
    choices = [
        Choice(draw(st.lists(parts, max_size=4)), draw(endings), index)
        for index in range(draw(st.integers(1, max_choices)))
    ]
    return IRResponse(
        id=draw(words.map("id-{}".format)),
        model=draw(words),
        choices=choices,
        usage=draw(usages),
        created=1_700_000_000,
    )


# --- requests ---

images = st.builds(
    Image,
    st.one_of(
        st.builds(Inline, st.sampled_from(["image/png", "image/jpeg"]), base64_texts),
        st.just(Remote("https://example.com/cat.png", "image/png")),
    ),
    detail=st.sampled_from(["", "low", "high"]),
)
documents = st.builds(
    Document, st.builds(Inline, st.just("application/pdf"), base64_texts), name=st.just("a.pdf")
)
audios = st.builds(Audio, st.builds(Inline, st.sampled_from(["audio/wav", "audio/mpeg"]), base64_texts))
user_parts: st.SearchStrategy[Part] = st.one_of(plain_texts, images, documents, audios)
result_parts: st.SearchStrategy[Part] = st.one_of(plain_texts, images)

schemas: st.SearchStrategy[JsonObject] = st.dictionaries(
    words, st.sampled_from(["string", "integer", "boolean"]).map(lambda kind: {"type": kind}), max_size=3
).map(lambda properties: {"type": "object", "properties": properties})
function_tools = st.builds(
    Tool,
    kind=st.just(ToolKind.FUNCTION),
    name=tool_names,
    description=st.just("") | texts,
    schema=schemas,
    strict=st.none() | st.booleans(),
)
custom_tools = st.builds(Tool, kind=st.just(ToolKind.CUSTOM), name=tool_names, description=texts)
system_texts = st.builds(SystemText, text=texts, kind=st.sampled_from(["system", "developer"]))
samplings = st.builds(
    Sampling,
    max_tokens=st.none() | st.integers(1, 10**6),
    temperature=st.none() | numbers,
    top_p=st.none() | numbers,
    top_k=st.none() | st.integers(1, 100),
    stop=st.lists(texts, max_size=2),
    seed=st.none() | st.integers(0, 2**31),
    presence_penalty=st.none() | numbers,
    frequency_penalty=st.none() | numbers,
)
outputs = st.one_of(
    st.none(),
    st.sampled_from(["text", "json_object"]).map(OutputFormat),
    st.builds(
        OutputFormat,
        kind=st.just("json_schema"),
        name=words,
        schema=schemas,
        strict=st.none() | st.booleans(),
    ),
)
reasonings = st.one_of(
    st.none(),
    st.sampled_from(["none", "minimal", "low", "medium", "high", "xhigh", "max", "auto"]).map(
        lambda level: Reasoning(level=level)
    ),
    st.integers(-1, 64_000).map(lambda budget: Reasoning(budget=budget)),
    st.just(Reasoning(adaptive=True)),
)


def _choices_among(tools: Sequence[Tool]) -> st.SearchStrategy[ToolChoice | None]:
    if not tools:
        return st.none()
    return st.none() | st.one_of(
        st.sampled_from(["auto", "none", "any"]).map(ToolChoice),
        st.sampled_from([tool.name for tool in tools]).map(lambda name: ToolChoice("tool", [name])),
    )


@st.composite
def _tool_round(draw: st.DrawFn, number: int) -> list[Message]:
    """A turn that calls, and the message with all its results."""
    calls = [
        ToolCall(f"call_{number}_{at}", draw(tool_names), draw(argument_texts))
        for at in range(draw(st.integers(1, 3)))
    ]
    said: list[Part] = list(draw(st.lists(st.one_of(thinkings, plain_texts), max_size=2)))
    results: list[Part] = [
        ToolResult(call.id, draw(st.lists(result_parts, max_size=2)), name=call.name) for call in calls
    ]
    return [
        Message("assistant", [*said, *calls]),
        Message("user", results + draw(st.lists(user_parts, max_size=1))),
    ]


@st.composite
def conversations(draw: st.DrawFn) -> list[Message]:
    """Messages whose calls are all answered."""
    messages = [Message("user", draw(st.lists(user_parts, min_size=1, max_size=3)))]
    for number in range(draw(st.integers(0, 3))):
        if draw(st.booleans()):
            messages += draw(_tool_round(number))
        else:
            messages.append(
                Message(
                    "assistant", draw(st.lists(st.one_of(thinkings, plain_texts), min_size=1, max_size=2))
                )
            )
            messages.append(Message("user", draw(st.lists(user_parts, min_size=1, max_size=2))))
    return messages


@st.composite
def requests(draw: st.DrawFn) -> IRRequest:
    """A request whose conversation is in order."""
    tools = draw(
        st.lists(st.one_of(function_tools, custom_tools), max_size=3, unique_by=lambda tool: tool.name)
    )
    return IRRequest(
        model=draw(words),
        messages=draw(conversations()),
        system=draw(st.lists(system_texts, max_size=2)),
        tools=tools,
        tool_choice=draw(_choices_among(tools)),
        parallel_tool_calls=draw(st.none() | st.booleans()) if tools else None,
        sampling=draw(samplings),
        output=draw(outputs),
        reasoning=draw(reasonings),
        stream=draw(st.booleans()),
    )
