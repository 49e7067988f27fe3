"""Questions on a terminal: defaults are shown, secrets are not, nobody at the other end is no crash."""

import getpass
import io
import sys
import threading

import pytest
import trio

from cliproxy.cli import prompts
from cliproxy.login.steps import Ask, Show

Capture = pytest.CaptureFixture[str]


class Terminal(io.StringIO):
    """Standard input as a person types it."""

    def isatty(self) -> bool:
        return True


def test_a_question_shows_its_default(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal("https://gitlab.example\n"))
    ask = Ask(key="url", prompt="Address", default="https://gitlab.com")
    assert trio.run(prompts.ask, ask) == "https://gitlab.example"
    assert capsys.readouterr().out == "Address [https://gitlab.com]: "


def test_a_secret_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def read(question: str) -> str:
        asked.append(question)
        return "secret"

    monkeypatch.setattr(getpass, "getpass", read)
    assert trio.run(prompts.ask, Ask(key="token", prompt="Token", secret=True)) == "secret"
    assert asked == ["Token: "]


def test_the_end_of_the_input_is_an_empty_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(""))
    assert trio.run(prompts.ask, Ask(key="x", prompt="X")) == ""
    assert trio.run(prompts.paste) == ""


def test_an_address_can_be_pasted(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal("http://localhost/callback?code=1\n"))
    assert trio.run(prompts.paste) == "http://localhost/callback?code=1"
    assert "Paste the address" in capsys.readouterr().out


def test_a_question_that_is_not_needed_any_more_does_not_hold_the_program(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The thread that reads is left behind."""
    released = threading.Event()

    class Silent(Terminal):
        def readline(self, *_: object) -> str:
            released.wait(30)
            return ""

    monkeypatch.setattr(sys, "stdin", Silent())

    async def main() -> None:
        with trio.move_on_after(0.05) as scope:
            await prompts.paste()
        assert scope.cancelled_caught

    trio.run(main)
    released.set()


@pytest.mark.parametrize(("stdin", "expected"), [(Terminal(), True), (io.StringIO(), False), (None, False)])
def test_somebody_is_there_if_there_is_a_terminal(
    monkeypatch: pytest.MonkeyPatch, stdin: object, expected: bool
) -> None:
    monkeypatch.setattr(sys, "stdin", stdin)
    assert prompts.has_terminal() is expected


def test_where_to_go_is_shown_with_its_code(capsys: Capture) -> None:
    url = "https://vendor.example/?state=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.abc"
    prompts.say_where(Show(url=url, code="ABCD-1234", text="Sign in first."))
    assert capsys.readouterr().out == (
        f"Sign in first.\nVisit the following URL to continue:\n{url}\nand enter the code: ABCD-1234\n"
    )
    prompts.say_where(Show(url=url))
    assert "code:" not in capsys.readouterr().out
