"""Play a login flow against a script: what it must ask for, and what it gets.

Each :class:`Beat` names the step expected next and the reply to it. A flow that asks for something else
fails the test with both spelled out; so does a script of which a part was never played. A reply that is a
``LoginError`` is thrown into the flow, as the real runner does with a step it cannot carry out.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar
from urllib.parse import parse_qsl

from attrs import field, frozen

from cliproxy.errors import LoginError
from cliproxy.login.steps import Flow, Send, Step
from cliproxy.wire.http import Headers, HttpAnswer
from cliproxy.wire.jsontext import JsonValue, dumps, loads

T = TypeVar("T")
Expectation = Step | type | Callable[[Step], None]


@frozen
class Beat:
    """One exchange between a flow and its world."""

    expect: Expectation
    reply: object = None


@frozen(kw_only=True)
class Sends:
    """Expects a request; only what is given is compared."""

    method: str
    url: str
    form: Mapping[str, str] | None = None
    json: JsonValue = field(default=...)
    """``...``: whatever the body is."""
    bearer: str | None = None

    def __call__(self, step: Step) -> None:
        """Compare a step with the expectation."""
        assert isinstance(step, Send), f"expected {self.method} {self.url}, the flow asked for {step}"
        call = step.call
        assert (call.method, call.url) == (self.method, self.url)
        if self.form is not None:
            assert dict(parse_qsl(call.body.decode(), keep_blank_values=True)) == self.form
        if self.json is not ...:
            assert (loads(call.body) if call.body else None) == self.json
        if self.bearer is not None:
            assert call.headers.get("authorization") == f"Bearer {self.bearer}"


def answer(status: int = 200, body: "JsonValue | bytes" = None, **headers: str) -> HttpAnswer:
    """Make an answer; a value that is not bytes becomes JSON."""
    raw = body if isinstance(body, bytes) else dumps(body)
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return HttpAnswer(status=status, headers=Headers({"Content-Type": "application/json"} | fields), body=raw)


def play(flow: Flow[T], script: Sequence[Beat]) -> T:
    """Drive a flow through a script and return its product. Lets the flow's own ``LoginError`` through."""
    played = 0
    try:
        step = next(flow)
        while True:
            assert played < len(script), f"the script has ended, the flow goes on with {step}"
            beat = script[played]
            played += 1
            _compare(step, beat.expect)
            step = flow.throw(beat.reply) if isinstance(beat.reply, LoginError) else flow.send(beat.reply)
    except StopIteration as end:
        _finished(script, played)
        return end.value
    except LoginError:
        _finished(script, played)
        raise
    finally:
        flow.close()


def _finished(script: Sequence[Beat], played: int) -> None:
    assert played == len(script), f"the flow ended before {script[played:]}"


def _compare(step: Step, expect: Expectation) -> None:
    if isinstance(expect, type):
        assert isinstance(step, expect), f"expected {expect.__name__}, the flow asked for {step}"
    elif callable(expect):
        expect(step)
    else:
        assert step == expect
