from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

import pytest
import trio
from attrs import define, evolve, field
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256

from cliproxy.errors import Kind, LoginError, TransportError
from cliproxy.login.steps import (
    Ask,
    AskFile,
    AwaitCallback,
    Flow,
    Note,
    Now,
    OpenCallback,
    Pause,
    Persist,
    Send,
    Show,
    Sign,
)
from cliproxy.service.logins import (
    World,
    after_a_while,
    asker,
    file_reader,
    run_flow,
    run_login,
    sender,
    tunnel_hint,
)
from cliproxy.wire.http import HttpAnswer, HttpCall
from cliproxy.wire.secret import Secret
from support.keys import pem, private_key

CALL = HttpCall(method="GET", url="https://example.org/user")


@define
class Browser:
    """A callback listener without a socket."""

    url: str = "http://localhost:7/cb"
    brought: Mapping[str, str] | None = None
    delay: float = 0.0
    verdicts: list[str | None] = field(factory=list)
    is_open: bool = False

    async def wait(self) -> Mapping[str, str]:
        await trio.sleep(self.delay)
        if self.brought is None:
            await trio.sleep_forever()
        return self.brought

    async def release(self) -> None:
        self.verdicts.append("go on")

    async def conclude(self, error: str | None) -> None:
        assert self.is_open, "the verdict comes before the listener closes"
        self.verdicts.append(error)

    @asynccontextmanager
    async def open(self, step: OpenCallback) -> AsyncIterator["Browser"]:
        self.is_open = True
        try:
            yield self
        finally:
            self.is_open = False


async def never(call: HttpCall) -> HttpAnswer:
    await trio.sleep_forever()
    raise AssertionError


def world(**changes) -> World:
    return evolve(World(send=never, now=lambda: 5.0, note=lambda text: None), **changes)


def browser_flow() -> Flow[str]:
    yield OpenCallback(port=7, path="/cb")
    parameters = yield AwaitCallback(path="/cb")
    return parameters["code"]


async def test_every_step_gets_its_result() -> None:
    done: list[object] = []

    async def send(call: HttpCall) -> HttpAnswer:
        done.append(call)
        return HttpAnswer(status=200)

    async def show(step: Show) -> None:
        done.append(step)

    async def persist(patch: Mapping[str, object]) -> None:
        done.append(patch)

    async def ask(step: Ask) -> str:
        return "me"

    def flow() -> Flow[list[object]]:
        replies = []
        steps = [
            Send(CALL),
            Show(url="u"),
            Ask(key="k", prompt="p"),
            Persist(patch={"a": 1}),
            Note("n"),
            Now(),
        ]
        for step in steps:
            replies.append((yield step))  # noqa: PERF401 - a flow cannot yield from a comprehension
        return replies

    replies = await run_flow(flow(), world(send=send, show=show, persist=persist, ask=ask, note=done.append))
    assert replies == [HttpAnswer(status=200), None, "me", None, None, 5.0]
    assert done == [CALL, Show(url="u"), {"a": 1}, "n"]


async def test_pauses_take_their_time(autojump_clock: trio.testing.MockClock) -> None:
    def flow() -> Flow[None]:
        yield Pause(90.0)

    await run_flow(flow(), world())
    assert trio.current_time() == pytest.approx(90.0)


async def test_a_step_that_fails_is_thrown_into_the_flow_which_may_go_on() -> None:
    def flow() -> Flow[str]:
        try:
            yield Ask(key="k", prompt="p")
        except LoginError as exc:
            return exc.code
        return "asked"

    assert await run_flow(flow(), world()) == "needs_owner"


@pytest.mark.parametrize(
    "step",
    [
        Show(url="https://e/x?code=1"),
        OpenCallback(port=1, path="/"),
        Ask(key="k", prompt="p"),
        Persist(patch={"a": 1}),
    ],
)
async def test_an_unattended_world_offers_nothing_that_needs_an_owner(step: object) -> None:
    def flow() -> Flow[None]:
        yield step

    with pytest.raises(LoginError):
        await run_flow(flow(), world())


async def test_an_upstream_that_never_answers_is_given_up(autojump_clock: trio.testing.MockClock) -> None:
    def flow() -> Flow[None]:
        yield Send(CALL)

    with pytest.raises(LoginError) as caught:
        await run_flow(flow(), world())
    assert caught.value.code == "timeout"
    assert "example.org" in caught.value.message


async def test_the_browser_learns_that_the_login_went_well() -> None:
    browser = Browser(brought={"code": "c", "state": ""})
    assert await run_flow(browser_flow(), world(open_callback=browser.open)) == "c"
    assert browser.verdicts == [None]
    assert not browser.is_open


async def test_the_browser_learns_why_the_login_failed() -> None:
    def flow() -> Flow[None]:
        yield from browser_flow()
        raise LoginError("the state differs", code="state_mismatch")

    browser = Browser(brought={"code": "c", "state": ""})
    with pytest.raises(LoginError):
        await run_flow(flow(), world(open_callback=browser.open))
    assert browser.verdicts == ["the state differs."]


@pytest.mark.parametrize("step", [Ask(key="k", prompt="?"), Pause(5.0)])
async def test_the_browser_does_not_wait_for_what_happens_in_the_terminal(
    step: Ask | Pause, autojump_clock: trio.testing.MockClock
) -> None:
    def flow() -> Flow[None]:
        yield from browser_flow()
        yield Note("nothing to wait for")
        yield step

    async def ask(_step: Ask) -> str:
        return "answer"

    browser = Browser(brought={"code": "c", "state": ""})
    await run_flow(flow(), world(open_callback=browser.open, ask=ask))
    assert browser.verdicts == ["go on", None]


async def test_questions_before_the_browser_comes_back_do_not_concern_it() -> None:
    def flow() -> Flow[str]:
        yield Ask(key="k", prompt="?")
        return (yield from browser_flow())

    async def ask(_step: Ask) -> str:
        return "answer"

    browser = Browser(brought={"code": "c", "state": ""})
    await run_flow(flow(), world(open_callback=browser.open, ask=ask))
    assert browser.verdicts == [None]


async def test_nobody_comes_back(autojump_clock: trio.testing.MockClock) -> None:
    browser = Browser()
    with pytest.raises(LoginError) as caught:
        await run_flow(browser_flow(), world(open_callback=browser.open))
    assert caught.value.code == "timeout"
    assert trio.current_time() == pytest.approx(300.0)
    assert not browser.is_open


def pastes(*texts: str) -> Callable[[], object]:
    left = list(texts)

    async def paste() -> str:
        await trio.lowlevel.checkpoint()
        return left.pop(0)

    return paste


async def test_the_owner_pastes_instead() -> None:
    browser = Browser()
    chosen = world(open_callback=browser.open, paste=pastes("http://localhost:7/cb?code=p&state=s"))
    assert await run_flow(browser_flow(), chosen) == "p"


async def test_a_paste_that_is_no_answer_is_explained_and_asked_again() -> None:
    told: list[str] = []
    chosen = world(
        open_callback=Browser().open, paste=pastes("https://example.org/", "code=p&state=s"), note=told.append
    )
    assert await run_flow(browser_flow(), chosen) == "p"
    assert "neither a code" in told[0]


async def test_pressing_enter_keeps_waiting_for_the_browser(autojump_clock: trio.testing.MockClock) -> None:
    browser = Browser(brought={"code": "late", "state": ""}, delay=60)
    assert await run_flow(browser_flow(), world(open_callback=browser.open, paste=pastes(""))) == "late"


async def test_cancelling_closes_the_flow_and_the_listener() -> None:
    closed = trio.Event()

    def flow() -> Flow[None]:
        try:
            yield from browser_flow()
        finally:
            closed.set()

    browser = Browser()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_flow, flow(), world(open_callback=browser.open))
        await trio.testing.wait_all_tasks_blocked()
        assert browser.is_open
        nursery.cancel_scope.cancel()
    assert closed.is_set()
    assert not browser.is_open


async def test_a_login_as_a_whole_has_a_limit(autojump_clock: trio.testing.MockClock) -> None:
    def flow() -> Flow[None]:
        while True:
            yield Pause(10.0)

    with pytest.raises(LoginError, match="15 minutes"):
        await run_login(flow(), world())


# --- parts of worlds ---------------------------------------------------------------------------------------


ASK = Ask(key="gitlab-url", prompt="GitLab URL", env=("GITLAB_BASE_URL",), default="https://gitlab.com")


async def prompt_says(value: str) -> str:
    return value


@pytest.mark.parametrize(
    ("options", "environ", "typed", "expected"),
    [
        (
            {"gitlab-url": " https://flag "},
            {"GITLAB_BASE_URL": "https://env"},
            "https://typed",
            "https://flag",
        ),
        ({}, {"GITLAB_BASE_URL": "https://env"}, "https://typed", "https://env"),
        ({"gitlab-url": " "}, {"GITLAB_BASE_URL": " "}, "https://typed", "https://typed"),
        ({}, {}, "", "https://gitlab.com"),
        ({}, {}, None, "https://gitlab.com"),
    ],
)
async def test_where_an_answer_comes_from(options, environ, typed, expected) -> None:
    async def prompt(ask: Ask) -> str:
        return typed

    ask = asker(options, environ, None if typed is None else prompt)
    assert await ask(ASK) == expected


async def test_a_required_value_without_a_source_names_its_places() -> None:
    with pytest.raises(LoginError) as caught:
        await asker({}, {})(evolve(ASK, default=""))
    assert caught.value.code == "missing_value"
    assert caught.value.hint == "Give it by GITLAB_BASE_URL."


async def test_a_required_value_without_a_variable_names_its_flag() -> None:
    with pytest.raises(LoginError) as caught:
        await asker({}, {})(Ask(key="project_id", prompt="Project"))
    assert caught.value.hint == "Give it by -project_id."


async def test_an_optional_value_may_stay_empty() -> None:
    assert await asker({}, {})(evolve(ASK, default="", required=False)) == ""


@define
class Fetcher:
    failure: TransportError | None = None
    calls: list[HttpCall] = field(factory=list)

    async def fetch(self, call: HttpCall) -> HttpAnswer:
        self.calls.append(call)
        if self.failure is not None:
            raise self.failure
        return HttpAnswer(status=204)


async def test_requests_of_a_credential_go_through_its_proxy() -> None:
    fetcher = Fetcher()
    await sender(fetcher, Secret("socks5://p"))(CALL)
    assert fetcher.calls == [evolve(CALL, proxy_url=Secret("socks5://p"))]


@pytest.mark.parametrize(("kind", "code"), [(Kind.TIMEOUT, "timeout"), (Kind.UNAVAILABLE, "unreachable")])
async def test_a_broken_connection_is_a_login_error(kind: Kind, code: str) -> None:
    fetcher = Fetcher(TransportError("e: refused", kind=kind, phase="connect"))
    with pytest.raises(LoginError) as caught:
        await sender(fetcher)(CALL)
    assert caught.value.code == code


async def test_the_offer_to_paste_comes_after_a_while_and_only_once(
    autojump_clock: trio.testing.MockClock,
) -> None:
    paste = after_a_while(lambda: prompt_says("x"), 15.0)
    assert (await paste(), trio.current_time()) == ("x", 15.0)
    assert (await paste(), trio.current_time()) == ("x", 15.0)


def test_the_tunnel_hint_names_the_port() -> None:
    assert "ssh -L 17171:127.0.0.1:17171" in tunnel_hint(17171)


# --- files and signatures ---

KEY_FILE = AskFile(key="key-file", prompt="Path of the key")


def gives(value):
    async def ask(step: Ask) -> str:
        assert (step.key, step.prompt) == ("key-file", "Path of the key")
        return str(value)

    return ask


def file_flow() -> Flow[bytes]:
    return (yield KEY_FILE)


async def test_a_file_is_read_from_where_the_owner_says(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "key.json").write_bytes(b"{}\xff")
    for given in (tmp_path / "key.json", "~/key.json"):
        assert await run_flow(file_flow(), world(ask_file=file_reader(gives(given)))) == b"{}\xff"


async def test_a_file_that_cannot_be_read(tmp_path) -> None:
    (tmp_path / "large").write_bytes(bytes(1024 * 1024 + 1))
    for name, reason in (("absent", "No such file"), ("large", "too large"), (".", "Is a directory")):
        with pytest.raises(LoginError, match=reason) as caught:
            await file_reader(gives(tmp_path / name))(KEY_FILE)
        assert caught.value.code == "bad_file"


async def test_without_an_owner_there_is_no_file() -> None:
    with pytest.raises(LoginError, match="nobody to ask"):
        await run_flow(file_flow(), world())


async def test_a_message_is_signed() -> None:
    def flow() -> Flow[bytes]:
        return (yield Sign(key=Secret(pem()), message=b"message"))

    signature = await run_flow(flow(), world())
    private_key().public_key().verify(signature, b"message", PKCS1v15(), SHA256())
