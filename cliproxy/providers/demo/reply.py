"""What the demo model answers: the modes a user chooses with the first word of a prompt."""

import re
from collections.abc import Callable, Mapping
from typing import Final

from attrs import evolve, frozen

from cliproxy.providers.demo.prompt import CHARACTERS_PER_TOKEN, DemoTool, Prompt
from cliproxy.providers.demo.samples import sample, sample_object
from cliproxy.wire.jsontext import JsonObject, dumps_text

TALKER: Final = "demo"
THINKER: Final = "demo-thinking"
"""The model that thinks whether asked to or not."""

PACE_S: Final = 0.01
SLOW_PACE_S: Final = 0.2
LONG_WORDS: Final = 2000
_STATUS: Final = re.compile(r"[45][0-9][0-9]")
_QUOTED: Final = 400
"""Longest piece of a prompt or a tool result that is quoted."""

MODES: Final = """\
Begin a prompt with one of these words to see something else:
- `tool` calls the first tool you declared, `tool NAME` calls that one, `parallel` calls two;
  a JSON object in the prompt becomes the arguments
- `think` reasons before it answers
- `slow` answers one word at a time, `long` answers with about 2000 words
- `json` answers with JSON; `response_format` with a schema always does
- `error 429` fails with that status, `error mid` in the middle of the answer,
  `error cut` breaks off without an end"""


@frozen(kw_only=True)
class DemoCall:
    """A call of a tool. ``arguments`` is free text for custom tools."""

    name: str
    arguments: str
    is_custom: bool = False


@frozen(kw_only=True)
class Reply:
    """A whole answer."""

    text: str = ""
    thoughts: str = ""
    calls: tuple[DemoCall, ...] = ()
    pace_s: float = PACE_S
    """Pause before each piece."""
    words_per_piece: int = 3
    ends: str = ""
    """Empty: properly. ``error``: with an error in mid-stream. ``cut``: it just breaks off."""
    is_truncated: bool = False


@frozen(kw_only=True)
class Refusal:
    """An error answer."""

    status: int
    message: str
    param: str | None = None


def reply_to(prompt: Prompt) -> Reply | Refusal:
    """Decide the answer."""
    if prompt.results:
        return _thinking(_after_tools(prompt), prompt)
    word = next(iter(prompt.words()), "").strip(".,:;!?`\"'")
    reply = _MODES.get(word, _by_request)(prompt)
    return reply if isinstance(reply, Refusal) else _limited(_thinking(reply, prompt), prompt)


def _by_request(prompt: Prompt) -> Reply:
    """Without a mode word the request itself says what is wanted."""
    if prompt.forced_tool or prompt.mentioned_tools():
        return _tool(prompt)
    if prompt.schema is not None:
        return _json(prompt)
    return _plain(prompt)


def _plain(prompt: Prompt) -> Reply:
    heard = f"You wrote: “{_quoted(prompt.text)}”\n\n" if prompt.text else ""
    return Reply(
        text="Hello! I am the built-in demo of cliproxy, not a real language model: my answers are made up"
        f" by a few rules, and nothing you write leaves this server.\n\n{heard}{MODES}"
    )


def _quoted(text: str) -> str:
    return text if len(text) <= _QUOTED else text[:_QUOTED] + " …"


def _after_tools(prompt: Prompt) -> Reply:
    said = "\n".join(f"“{_quoted(result)}”" if result else "nothing" for result in prompt.results)
    noun = "tool" if len(prompt.results) == 1 else "tools"
    return Reply(text=f"The {noun} answered:\n{said}\n\nThat is all I, the built-in demo, wanted to know.")


def _tool(prompt: Prompt) -> Reply:
    if not prompt.tools:
        return Reply(text="I would call a tool now, but this request declares none that I may call.")
    chosen = [tool for tool in prompt.tools if tool.name == prompt.forced_tool] or prompt.mentioned_tools()
    return Reply(calls=(_call((chosen or [*prompt.tools])[0], prompt),))


def _parallel(prompt: Prompt) -> Reply:
    if not prompt.tools:
        return _tool(prompt)
    chosen = (prompt.mentioned_tools() or [*prompt.tools])[:2]
    pair = chosen if len(chosen) > 1 else chosen * 2
    return Reply(text="I am calling two tools at once.", calls=tuple(_call(tool, prompt) for tool in pair))


def _call(tool: DemoTool, prompt: Prompt) -> DemoCall:
    if tool.is_custom:
        return DemoCall(name=tool.name, arguments=f"demo input for {tool.name}", is_custom=True)
    written = prompt.literal_arguments()
    return DemoCall(name=tool.name, arguments=written or dumps_text(sample_object(tool.schema)))


def _think(prompt: Prompt) -> Reply:
    return evolve(_by_request(prompt), thoughts=_thoughts(prompt))


def _thoughts(prompt: Prompt) -> str:
    subject = _quoted(prompt.text) or "what the tools answered"
    return (
        f"The user says: {subject}\n\nI am only a demo, so there is not much to think about."
        " I shall answer politely and say what I can do."
    )


def _thinking(reply: Reply, prompt: Prompt) -> Reply:
    wanted = prompt.wants_thoughts or prompt.model == THINKER
    return evolve(reply, thoughts=_thoughts(prompt)) if wanted else reply


def _slow(_prompt: Prompt) -> Reply:
    text = "This is a slow answer: the built-in demo says one word every fifth of a second until it is done."
    return Reply(text=text, pace_s=SLOW_PACE_S, words_per_piece=1)


def _long(_prompt: Prompt) -> Reply:
    sentence = "This is sentence {} of a long answer that the built-in demo makes up.".format
    length = len(sentence(1).split())
    sentences = [sentence(number) for number in range(1, LONG_WORDS // length + 1)]
    paragraphs = [" ".join(sentences[start : start + 10]) for start in range(0, len(sentences), 10)]
    return Reply(text="\n\n".join(paragraphs), words_per_piece=8)


def _json(prompt: Prompt) -> Reply:
    schema = prompt.schema or {}
    anything: JsonObject = {"model": "built-in demo", "is_real": False, "prompt": _quoted(prompt.text)}
    return Reply(text=dumps_text(sample(schema) if schema else anything))


def _error(prompt: Prompt) -> Reply | Refusal:
    kind = " ".join(prompt.words()[1:]).strip(".,:;!?")
    if kind in {"mid", "cut"}:
        text = "This answer does not end well: the built-in demo breaks off after a few words."
        return Reply(text=text, ends="error" if kind == "mid" else "cut")
    status = _STATUS.fullmatch(kind)
    if kind and not status:
        return _by_request(prompt)  # it speaks of an error, it does not want one
    message = "this error was asked for: the built-in demo fails on demand"
    return Refusal(status=int(kind) if status else 500, message=message)


def _limited(reply: Reply, prompt: Prompt) -> Reply:
    """Cut the text off where the request's limit is."""
    most = None if prompt.max_tokens is None else prompt.max_tokens * CHARACTERS_PER_TOKEN
    if most is None or len(reply.text) <= most:
        return reply
    return evolve(reply, text=reply.text[:most], calls=(), is_truncated=True)


_MODES: Final[Mapping[str, Callable[[Prompt], Reply | Refusal]]] = {
    "error": _error,
    "json": _json,
    "long": _long,
    "parallel": _parallel,
    "slow": _slow,
    "think": _think,
    "tool": _tool,
    "tools": _tool,
}
