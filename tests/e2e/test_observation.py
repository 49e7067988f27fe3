"""What a running server shows of itself: its log as JSON, files, figures.

Secrets are planted everywhere it can be told one, and are in none of them.
"""

import json
import os
import re
import stat
import time
from collections.abc import Callable
from pathlib import Path

import httpx2 as httpx
from prometheus_client.parser import text_string_to_metric_families as parse

from support.server import Server, running

KEY, WRONG, QUERY, HEADER, MEMBER, UPSTREAM, PROXY, ACCOUNT = (
    f"canary{number}tweettweettweet{number}" for number in range(8)
)
BASE = f"""\
host: 127.0.0.1
api-keys: [{KEY}]
request-retry: 0
openai-compatibility:
  - name: other
    base-url: http://127.0.0.1:9/v1
    api-key-entries:
      - {{api-key: {UPSTREAM}, proxy-url: "http://u:{PROXY}@127.0.0.1:9"}}
      - {{api-key: {ACCOUNT}}}
    models: [{{name: m}}]
"""
ALL_ON = "debug: true\nlog-format: json\nlogging-to-file: true\nrequest-log: true\n"
ALL_OFF = "metrics: {enable: false}\n"
CHAT = {"messages": [{"role": "user", "content": "slow-free hello"}], "metadata": {"api_key": MEMBER}}
LIMIT_S = 20


def ask_everything(server: Server) -> str:
    """Ask for this and that, in right and in wrong ways; everything that comes back."""
    said: list[str] = []
    keys = (
        {"Authorization": f"Bearer {KEY}"},
        {"x-api-key": KEY},
        {"x-api-key": WRONG},
        {"X-Odd-Auth": HEADER},
    )
    with httpx.Client(base_url=server.url, trust_env=False, timeout=LIMIT_S) as client:
        for headers in keys:
            for model, stream in (("demo", True), ("demo", False), ("m", True), ("nobody's", False)):
                body = {**CHAT, "model": model, "stream": stream}
                more = {"X-Odd-Auth": HEADER}
                said.append(client.post("/v1/chat/completions", json=body, headers={**headers, **more}).text)
        path = f"/v1beta/models/demo:generateContent?key={KEY}&auth_token={QUERY}"
        said.append(client.post(path, json={"contents": [{"parts": [{"text": f"is it {KEY}?"}]}]}).text)
        said += [client.get(page).text for page in ("/readyz", "/metrics", f"/v1/models?key={QUERY}")]
    # The demo model repeats what it was asked, and the question was ours.
    return "\n".join(each for each in said if "is it" not in each)


def files_of(directory: Path) -> dict[str, str]:
    return {each.name: each.read_text() for each in (directory / "logs").iterdir()}


def test_everything_on_shows_everything_but_secrets(tmp_path: Path) -> None:
    with running(tmp_path, "-demo", config=BASE + ALL_ON) as server:
        said = ask_everything(server)
        assert server.stop() == 0
        log = server.log()
    lines = [json.loads(line) for line in log.splitlines()]
    ends = [line for line in lines if line.get("event") == "exchange"]
    assert {line["cause"] for line in ends} >= {"--", "LR", "UH"}
    assert all(line["id"] for line in ends)
    assert {line["status"] for line in lines if line.get("event") == "access"} >= {200, 401, 404, 503}
    files = files_of(tmp_path)
    main = files.pop("main.log")
    assert '"event":"exchange"' in main
    assert len(files) == 17
    assert all(
        name.startswith(("v1-chat-completions-2", "v1beta-models-demo-generateContent-2")) for name in files
    )
    assert all("=== RESPONSE ===" in text for text in files.values())
    assert sum("=== API REQUEST 1 ===" in text for text in files.values()) >= 6
    for shown in (log, said, main, *files, *files.values()):
        assert "canary" not in shown
    if os.name == "posix":
        assert {stat.S_IMODE(each.stat().st_mode) for each in (tmp_path / "logs").iterdir()} == {0o600}


def test_everything_off_writes_no_file_and_shows_no_secret(tmp_path: Path) -> None:
    with running(tmp_path, "-demo", config=BASE + ALL_OFF) as server:
        said = ask_everything(server)
        server.stop()
        assert "canary" not in server.log() + said
    assert "Metrics are switched off" in said
    assert not (tmp_path / "logs").exists()


def test_figures_of_a_running_server(tmp_path: Path) -> None:
    with running(tmp_path, "-demo", config=BASE) as server:
        ask_everything(server)
        text = httpx.get(f"{server.url}/metrics", trust_env=False).text
    found = {
        (sample.name, sample.labels.get("provider"), sample.labels.get("outcome")): sample.value
        for family in parse(text)
        for sample in family.samples
    }
    assert found["cliproxy_requests_total", "demo", "ok"] >= 1
    assert found["cliproxy_ready", None, None] == 1
    assert found["process_start_time_seconds", None, None] > 0
    assert "canary" not in text


def test_what_clients_make_up_is_no_label(tmp_path: Path) -> None:
    """Whoever can ask cannot fill the memory of whoever counts."""
    url, key = "/v1/chat/completions", {"Authorization": f"Bearer {KEY}"}
    with (
        running(tmp_path, "-demo", config=BASE) as server,
        httpx.Client(base_url=server.url, trust_env=False, headers=key, timeout=LIMIT_S) as client,
    ):
        httpx.post(server.url + url, json=CHAT, headers={"x-api-key": f"junk-{WRONG}"}, trust_env=False)
        for made_up in ("junk-%d", "demo(junk-%d)", "other://junk-%d", "junk-%d://demo", "junk-%d(high)"):
            for number in range(3):
                client.post(url, json={**CHAT, "model": made_up % number})
                client.post(f"/v1beta/models/{made_up % number}:generateContent?junk-{number}", json={})
                client.get(f"/junk-{number}", headers={"x-request-id": f"junk-{number}"})
        text = client.get("/metrics").text
        [ready] = re.findall(r"^cliproxy_ready (\S+)", text, re.MULTILINE)
    assert ready == "1.0"
    assert 'model="other"' in text
    assert 'cliproxy_responses_total{status="401"} 1.0' in text
    assert "junk" not in text


def test_requests_are_written_down_as_the_configuration_says_now(tmp_path: Path) -> None:
    """Off, only failures, all, and off again by the switch that beats the others."""
    body = {**CHAT, "model": "demo"}
    with running(tmp_path, "-demo") as server:
        config = tmp_path / "config.yaml"
        begin = config.read_text()

        def ask(model: str) -> None:
            httpx.post(f"{server.url}/v1/chat/completions", json={**body, "model": model}, trust_env=False)

        def switch(*keys: str) -> None:
            config.write_text(begin + "".join(f"{key}: true\n" for key in keys))
            count = server.log().count("configuration taken over")
            wait_until(lambda: server.log().count("configuration taken over") > count)

        ask("nobody's")
        assert not (tmp_path / "logs").exists()
        switch("error-log")
        ask("demo")
        ask("nobody's")
        wait_until(lambda: len(files_of(tmp_path)) == 1)
        switch("error-log", "request-log")
        ask("demo")
        wait_until(lambda: len(files_of(tmp_path)) == 2)
        switch("error-log", "request-log", "commercial-mode")
        ask("demo")
        ask("nobody's")
    names = sorted(files_of(tmp_path))
    assert [name.split("-2")[0] for name in names] == ["error-v1-chat-completions", "v1-chat-completions"]


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)  # noqa: TID251 - waits for another process
