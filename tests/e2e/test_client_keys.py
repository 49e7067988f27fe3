"""Client keys with the real server and the vendors' own packages: what each refusal is to each of them."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import anthropic
import httpx2 as httpx
import openai
import pytest
from google import genai
from google.genai import errors as genai_errors
from google.genai import types as genai_types

from cliproxy.config.clientkeys import hash_of
from support.server import Server, running

LIMIT_S: Final = 15.0


def key(name: str) -> str:
    return f"sk-client-of-the-test-{name}"


def entries(**limits: str) -> str:
    lines = [f"  - {{name: {name}, hash: '{hash_of(key(name))}'{rest}}}" for name, rest in limits.items()]
    return "\n".join(["client-keys:", *lines, ""])


CONFIG = "api-keys: [sk-client-without-a-name]\n" + entries(
    free="",
    off=", disabled: true",
    old=", expires: 2020-02-29",
    other=", models: ['gpt-*']",
    elsewhere=", providers: [claude]",
    rare=", requests-per-minute: 1",
    brief=", tokens-per-day: 1",
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("keys"), "-demo", "-host", "127.0.0.1", config=CONFIG) as started:
        yield started


# --- the packages -------------------------------------------------------------------------------------------

Told = tuple[type[Exception], int, str, str | None]
"""Class of the exception, status, message, Retry-After."""


def chat(url: str, secret: str) -> Told | None:
    with openai.OpenAI(base_url=f"{url}/v1", api_key=secret, max_retries=0) as client:
        try:
            client.chat.completions.create(model="demo", messages=[{"role": "user", "content": "hi"}])
        except openai.APIStatusError as exc:
            return type(exc), exc.status_code, exc.message, exc.response.headers.get("retry-after")
    return None


def responses(url: str, secret: str) -> Told | None:
    with openai.OpenAI(base_url=f"{url}/v1", api_key=secret, max_retries=0) as client:
        try:
            for _ in client.responses.create(model="demo", input="hi", stream=True):
                pass
        except openai.APIStatusError as exc:
            return type(exc), exc.status_code, exc.message, exc.response.headers.get("retry-after")
    return None


def messages(url: str, secret: str) -> Told | None:
    with anthropic.Anthropic(base_url=url, api_key=secret, max_retries=0) as client:
        try:
            client.messages.create(model="demo", max_tokens=100, messages=[{"role": "user", "content": "hi"}])
        except anthropic.APIStatusError as exc:
            return type(exc), exc.status_code, exc.message, exc.response.headers.get("retry-after")
    return None


def generate(url: str, secret: str) -> Told | None:
    options = genai_types.HttpOptions(base_url=url)
    with genai.Client(api_key=secret, vertexai=False, http_options=options) as client:
        try:
            client.models.generate_content(model="demo", contents="hi")
        except genai_errors.APIError as exc:
            headers = getattr(exc.response, "headers", {})
            return type(exc), exc.code, str(exc.message), headers.get("retry-after")
    return None


PACKAGES: dict[str, tuple[Callable[[str, str], Told | None], dict[int, type[Exception]]]] = {
    name: (
        call,
        {
            401: package.AuthenticationError,
            403: package.PermissionDeniedError,
            404: package.NotFoundError,
            429: package.RateLimitError,
        },
    )
    for name, call, package in (
        ("chat", chat, openai),
        ("responses", responses, openai),
        ("messages", messages, anthropic),
    )
} | {"generate": (generate, dict.fromkeys((401, 403, 404, 429), genai_errors.ClientError))}


@pytest.mark.parametrize("package", PACKAGES)
@pytest.mark.parametrize(
    ("name", "status", "said"),
    [
        ("nobody", 401, "Invalid API key"),
        ("off", 403, "The API key `off` is switched off"),
        ("old", 403, "The API key `old` expired on 2020-03-01 00:00 UTC"),
        ("other", 404, "The model `demo` does not exist"),
        ("elsewhere", 404, "The model `demo` does not exist"),
    ],
)
def test_a_key_that_may_not_is_refused_in_the_clients_own_words(
    server: Server, package: str, name: str, status: int, said: str
) -> None:
    call, classes = PACKAGES[package]
    told = call(server.url, key(name))
    assert told is not None
    assert told[:2] == (classes[status], status)
    assert said in told[2]


@pytest.mark.parametrize("package", PACKAGES)
def test_keys_of_both_kinds_are_let_in(server: Server, package: str) -> None:
    call, _ = PACKAGES[package]
    assert call(server.url, key("free")) is None
    assert call(server.url, "sk-client-without-a-name") is None


@pytest.mark.parametrize(
    ("name", "said", "longest"),
    [("rare", "`requests-per-minute`, 1 in 60 seconds: 1 used", 61), ("brief", "`tokens-per-day`", 86_400)],
)
def test_a_limit_that_is_reached_is_named_with_the_time_to_wait(
    server: Server, name: str, said: str, longest: int
) -> None:
    assert chat(server.url, key(name)) is None
    for call, classes in PACKAGES.values():
        told = call(server.url, key(name))
        assert told is not None
        kind, status, message, wait = told
        assert (kind, status) == (classes[429], 429)
        assert said in message
        assert wait is not None
        assert 1 <= int(wait) <= longest


def test_lists_show_what_a_key_may_use(server: Server) -> None:
    for name, models in (("free", {"demo"}), ("other", set()), ("elsewhere", set())):
        with openai.OpenAI(base_url=f"{server.url}/v1", api_key=key(name), max_retries=0) as client:
            assert {model.id for model in client.models.list()} & {"demo"} == models
        options = genai_types.HttpOptions(base_url=server.url)
        with genai.Client(api_key=key(name), vertexai=False, http_options=options) as google:
            assert {model.name for model in google.models.list()} & {"models/demo"} == {
                f"models/{model}" for model in models
            }


def test_no_key_and_no_hash_is_in_the_log(server: Server) -> None:
    text = server.log() + "".join(server.greeting)
    for name in ("free", "off", "rare"):
        assert key(name) not in text
        assert hash_of(key(name)).removeprefix("sha256:") not in text


# --- over time ----------------------------------------------------------------------------------------------


def ask(url: str, secret: str, **body: Any) -> httpx.Response:
    asked = {"model": "demo", "messages": [{"role": "user", "content": "hi"}], **body}
    headers = {"authorization": f"Bearer {secret}"}
    return httpx.post(f"{url}/v1/chat/completions", json=asked, headers=headers, trust_env=False)


def status_of(url: str, secret: str) -> int:
    return ask(url, secret).status_code


@contextmanager
def changing(directory: Path, config: str) -> Iterator[tuple[Server, Callable[[str], None]]]:
    """A server whose configuration can be replaced."""
    with running(directory, "-demo", "-host", "127.0.0.1", config=config) as started:
        path = directory / "config.yaml"
        head = path.read_text().removesuffix(config)
        yield started, lambda text: path.write_text(head + text) and None  # type: ignore[func-returns-value]


def until(is_so: Callable[[], object]) -> None:
    end = time.monotonic() + LIMIT_S
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.1)  # noqa: TID251 - waits for another process


def test_other_limits_find_what_was_used_and_a_key_that_is_gone_is_refused(tmp_path: Path) -> None:
    with changing(tmp_path, entries(alice=", tokens-per-day: 100000", bob="")) as (server, replace):
        assert status_of(server.url, key("alice")) == 200
        replace(entries(alice=", tokens-per-day: 2", bob=""))
        until(lambda: status_of(server.url, key("alice")) == 429)
        replace(entries(alice=", tokens-per-day: 100000", bob=", disabled: true"))
        until(lambda: status_of(server.url, key("alice")) == 200)
        assert status_of(server.url, key("bob")) == 403
        replace(entries(bob=""))
        until(lambda: status_of(server.url, key("bob")) == 200)
        assert status_of(server.url, key("alice")) == 401


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_what_was_used_today_is_known_after_a_restart(tmp_path: Path, end: signal.Signals) -> None:
    config = entries(alice=", tokens-per-day: 2")
    with changing(tmp_path, config) as (server, _):
        assert status_of(server.url, key("alice")) == 200
        if end is signal.SIGKILL:
            time.sleep(1.0)  # noqa: TID251 - what is promised after this time
        server.stop(end)
    with changing(tmp_path, config) as (server, _):
        told = chat(server.url, key("alice"))
        assert told is not None
        assert "`tokens-per-day`, 2 in a day (UTC): 179 used" in told[2]


def test_a_database_that_cannot_be_used_stops_nobody(tmp_path: Path) -> None:
    """Limits go on in memory; the log says that nothing is kept."""
    (tmp_path / "auth").mkdir(mode=0o700)
    (tmp_path / "auth" / "state").write_text("not a directory")
    with changing(tmp_path, entries(alice=", tokens-per-day: 2")) as (server, _):
        assert status_of(server.url, key("alice")) == 200
        assert status_of(server.url, key("alice")) == 429
        until(lambda: "usage cannot be written and is kept in memory" in server.log())


def test_requests_at_the_same_time_cannot_overrun_a_budget(tmp_path: Path) -> None:
    config = entries(alice=", tokens-per-day: 1000, concurrent: 100")
    answers: list[httpx.Response] = []
    with changing(tmp_path, config) as (server, _):
        asking = [
            threading.Thread(target=lambda: answers.append(ask(server.url, key("alice"), max_tokens=100)))
            for _ in range(40)
        ]
        for each in asking:
            each.start()
        for each in asking:
            each.join()
    used = [answer.json()["usage"]["total_tokens"] for answer in answers if answer.status_code == 200]
    assert {answer.status_code for answer in answers} == {200, 429}
    # Some may come when the others are over, and a request that is alone may use what is left and more.
    assert sum(used) - max(used) < 1000
