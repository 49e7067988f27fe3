"""What the emulated model says when no script tells it: chosen by keywords of the last user text.

A family reduces its request to a `Prompt` first, so that the same words lead to the same turn in every API.
The first rule whose condition holds wins:

    tools are declared, no result is to be answered, and the choice is forced or the text has "tool",
    "parallel" or a tool's name                       one call, or two in parallel, with a fixed instance of
    the schema a tool result is the newest input      text that repeats the result a JSON schema or JSON
    mode is asked    a fixed instance of the schema "empty" "refuse" "max tokens" "unicode" "long [n]"
    "draw" "inspect" "think" anything else                          `You said: …`

"inspect" answers with a JSON account of what the emulator understood (roles, system text, tools, media,
settings), which is how a test asks whether a translated request still means the same.
"""

import re
from collections.abc import Callable

from attrs import field, frozen

from emulators.turns import (
    Block,
    Call,
    Decline,
    Image,
    Text,
    Turn,
    counted,
    cut,
    sample,
    text_block,
    thinking_block,
)
from emulators.values import JsonObject, as_object, dumps

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
UNICODE_TEXT = (
    "caf\u00e9 \u65e5\u672c\u8a9e \U0001f680 \u2028line \u2029paragraph \u0085next "
    "\u202eright \u0000nul e\u0301 \ufeffend"
)
REFUSAL_TEXT = "I can't help with that."
THOUGHTS = "Let me think. The user wants a careful answer, so first I weigh the question."
LONG_DEFAULT = 200


@frozen
class ToolOffer:
    """A tool the client declared."""

    name: str
    schema: JsonObject = field(factory=dict)
    custom: bool = False


@frozen(kw_only=True)
class Prompt:
    """A request as the model sees it."""

    text: str
    """The newest user text."""
    system: str = ""
    roles: tuple[str, ...] = ()
    tools: tuple[ToolOffer, ...] = ()
    results: tuple[str, ...] = ()
    """Tool results that are the newest input, as text."""
    forced: str | None = None
    """Name of a tool that must be called, or `*` for any."""
    may_call: bool = True
    parallel: bool = True
    thinking: str = "hidden"
    """`on`: always think; `auto`: when asked to in words; `off`: never."""
    media: tuple[str, ...] = ()
    """MIME types of the pictures and files in the newest user message."""
    schema: JsonObject | None = None
    """The JSON Schema the answer must fit."""
    settings: JsonObject = field(factory=dict)
    size: int = 0
    """Characters of the whole request, for token counts."""


def choose(prompt: Prompt) -> Turn:
    """Decide what the model says."""
    turn = _call_tools(prompt) or _answer_results(prompt) or _structured(prompt) or _by_keyword(prompt)
    blocks = turn.blocks
    if blocks and _thinks(prompt):
        blocks = (thinking_block(THOUGHTS), *blocks)
    return counted(Turn(blocks=blocks, finish=turn.finish, stop_sequence=turn.stop_sequence), prompt.size)


def has_word(text: str, word: str) -> bool:
    """Whether a keyword stands in a text as a word of its own."""
    return re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text, re.IGNORECASE) is not None


def _thinks(prompt: Prompt) -> bool:
    if prompt.thinking == "off":
        return False
    return prompt.thinking == "on" or has_word(prompt.text, "think")


def _call_tools(prompt: Prompt) -> Turn | None:
    if not prompt.tools or not prompt.may_call or (prompt.results and not prompt.forced):
        return None
    named = [tool for tool in prompt.tools if tool.name == prompt.forced or has_word(prompt.text, tool.name)]
    parallel = has_word(prompt.text, "parallel") and prompt.parallel
    wanted = any(has_word(prompt.text, word) for word in ("tool", "tools", "parallel"))
    if not (prompt.forced or named or wanted):
        return None
    chosen = named or list(prompt.tools)
    if parallel:
        first = chosen[0]
        chosen = [first, *(tool for tool in prompt.tools if tool is not first)][:2]
        chosen = chosen if len(chosen) > 1 else [first, first]
    else:
        chosen = chosen[:1]
    blocks: list[Block] = [_call(tool) for tool in chosen]
    if has_word(prompt.text, "preamble"):
        blocks.insert(0, text_block("Let me look that up for you."))
    return Turn(blocks=tuple(blocks), finish="tool_calls")


def _call(tool: ToolOffer) -> Call:
    arguments = "sample input" if tool.custom else dumps(sample(tool.schema)).decode()
    return Call(tool.name, arguments, custom=tool.custom)


def _answer_results(prompt: Prompt) -> Turn | None:
    if not prompt.results:
        return None
    return Turn(blocks=(text_block("The tool said: " + "; ".join(prompt.results)),))


def _structured(prompt: Prompt) -> Turn | None:
    if prompt.schema is None:
        return None
    value = sample(prompt.schema) if prompt.schema else as_object({"answer": prompt.text[:200]})
    return Turn(blocks=(text_block(dumps(value).decode(), 7),))


def _by_keyword(prompt: Prompt) -> Turn:
    for word, rule in _KEYWORDS.items():
        if has_word(prompt.text, word):
            return rule(prompt)
    media = f" [with {', '.join(prompt.media)}]" if prompt.media else ""
    return Turn(blocks=(text_block(f"You said: {prompt.text[:2000]}{media}"),))


def _long(prompt: Prompt) -> Turn:
    found = re.search(r"long (\d+)", prompt.text, re.IGNORECASE)
    count = int(found.group(1)) if found else LONG_DEFAULT
    deltas = tuple(f"word{at} " for at in range(count))
    return Turn(blocks=(Text("".join(deltas), deltas),))


def _inspect(prompt: Prompt) -> Turn:
    seen: JsonObject = {
        "system": prompt.system,
        "roles": list(prompt.roles),
        "tools": [tool.name for tool in prompt.tools],
        "media": list(prompt.media),
        "settings": prompt.settings,
    }
    text = dumps(seen).decode()
    return Turn(blocks=(Text(text, cut(text, 24)),))


_KEYWORDS: dict[str, Callable[[Prompt], Turn]] = {
    "empty": lambda _: Turn(),
    "refuse": lambda _: Turn(blocks=(Decline(REFUSAL_TEXT),), finish="refusal"),
    "max tokens": lambda _: Turn(blocks=(text_block("This answer stops in the mid"),), finish="length"),
    "unicode": lambda _: Turn(blocks=(text_block(UNICODE_TEXT, 3),)),
    "long": _long,
    "draw": lambda _: Turn(blocks=(Image(PIXEL), text_block("Here is the picture."))),
    "inspect": _inspect,
}
