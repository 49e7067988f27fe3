"""Requests written down: their sections, their bounds, and what is left out."""

import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cliproxy.observe import transcript as module
from cliproxy.observe.folder import Folder
from cliproxy.observe.transcript import LONGEST, Scribe, Transcript
from cliproxy.observe.writer import Writer

SECRET = "tweet/tweet/tweet-0123456789"
HEADERS = [("Authorization", f"Bearer {SECRET}"), ("X-Team", "blue"), ("Cookie", SECRET)]


def scribe(path: Path, *, everything: bool = True, most: int = 10, most_bytes: int = 10**8) -> Scribe:
    folder = Folder(path, most_bytes=most_bytes)
    return Scribe(folder=folder, writer=Writer(), everything=everything, most_errors=most)


def begun(keeper: Scribe) -> Transcript:
    """A transcript; there is room for it."""
    transcript = keeper.begin()
    assert transcript is not None
    return transcript


def asked(transcript: Transcript, body: bytes = b"{}") -> int:
    transcript.covers(["upstream-secret"])
    line = ("POST", "https://u:pw@up.example/v1?key=abc")
    return transcript.asked("provider=p", line, [("x-api-key", "upstream-secret")], body)


def written(transcript: Transcript) -> str:
    """End a transcript; the one file that there is then, or nothing."""
    transcript.end("a1b2c3d4")
    assert transcript.scribe.writer.close(10)
    path = transcript.scribe.folder.path
    files = list(path.iterdir()) if path.exists() else []
    assert len(files) <= 1
    return files[0].read_text(encoding="utf-8") if files else ""


def test_a_request_has_its_sections_in_order(tmp_path: Path) -> None:
    subject = begun(scribe(tmp_path))
    subject.request("POST", "/v1/messages?key=abc&a=b", HEADERS, "1.0")
    subject.request_body(b'{"hel')
    subject.request_body(b'lo": 1}')
    first = asked(subject, b"first body")
    subject.answered(first, 429, [("retry-after", "1")])
    subject.came(first, b"slow down")
    subject.over(first)
    second = asked(subject, b"second body")
    subject.answered(second, 200, [("content-type", "text/event-stream")])
    subject.came(second, b"data: 1\n\n")
    subject.response(200, [("Content-Type", "text/event-stream")])
    subject.response_body(b"data: one\n\n")
    subject.came(second, b"data: 2\n\n")
    subject.response_body(b"data: two\n\n")
    text = written(subject)
    titles = [line.strip("= ") for line in text.splitlines() if line.startswith("===")]
    assert titles == [
        "REQUEST INFO",
        "HEADERS",
        "REQUEST BODY",
        "API REQUEST 1",
        "API RESPONSE 1",
        "API REQUEST 2",
        "API RESPONSE 2",
        "RESPONSE",
    ]
    for part in (
        "URL: /v1/messages?key=***&a=b",
        "Authorization: Bearer ***\nX-Team: blue\nCookie: ***",
        '{"hello": 1}',
        "Upstream URL: https://***@up.example/v1?key=***",
        "x-api-key: ***",
        "first body",
        "Status: 429\nHeaders:\nretry-after: 1\nBody:\nslow down\n\n=== API REQUEST 2 ===\n",
        "data: 1\n\ndata: 2\n\n",
        "=== RESPONSE ===\nStatus: 200\nContent-Type: text/event-stream\n\ndata: one\n\ndata: two\n\n",
    ):
        assert part in text
    assert SECRET not in text
    assert "missing" not in text


@pytest.mark.skipif(os.name != "posix", reason="modes of POSIX systems")
def test_the_file_is_named_by_the_request_and_its_owners(tmp_path: Path) -> None:
    subject = begun(scribe(tmp_path))
    subject.request("POST", "/v1beta/models/../x y:go?key=a", [], "1.0")
    written(subject)
    [file] = tmp_path.iterdir()
    assert file.name.startswith("v1beta-models-..-x-y-go-2")
    assert file.name.endswith("-a1b2c3d4.log")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_answers_that_come_at_the_same_time_are_told_apart(tmp_path: Path) -> None:
    subject = begun(scribe(tmp_path))
    one, two = asked(subject), asked(subject)
    subject.answered(one, 200, [])
    subject.answered(two, 200, [])
    subject.came(one, b"of one\n")
    subject.came(two, b"of two\n")
    text = written(subject)
    assert text.index("of one") > text.rindex("=== API RESPONSE 1 ===") > text.index("=== API RESPONSE 2 ===")
    assert text.index("of two") > text.rindex("=== API RESPONSE 2 ===")


def test_a_section_ends_somewhere_and_says_so(tmp_path: Path) -> None:
    subject = begun(scribe(tmp_path))
    subject.covers([SECRET])
    subject.request_body((b"x" * (LONGEST - 10)) + SECRET.encode() + b"y" * LONGEST)
    subject.request_body(b"later")
    subject.response(200, [])
    text = written(subject)
    assert len(text) < LONGEST + 1000
    assert f"[cut off after {LONGEST} bytes]" in text
    assert "later" not in text
    assert "tweet" not in text
    assert "Status: 200" in text


def test_only_failures_are_kept_where_only_they_are_wanted(tmp_path: Path) -> None:
    good = begun(scribe(tmp_path / "good", everything=False))
    good.request("POST", "/x", [], "1.0")
    good.answered(asked(good), 200, [])
    good.response(200, [])
    assert written(good) == ""


@pytest.mark.parametrize("how", ["refused", "upstream refused", "broken"])
def test_a_failure_anywhere_is_one(tmp_path: Path, how: str) -> None:
    subject = begun(scribe(tmp_path, everything=False))
    subject.request("POST", "/x", [], "1.0")
    if how == "upstream refused":
        subject.answered(asked(subject), 500, [])
    elif how == "broken":
        subject.failed(asked(subject), f"reset by upstream-secret and {SECRET[:5]}")
    subject.response(404 if how == "refused" else 200, [])
    text = written(subject)
    [file] = tmp_path.iterdir()
    assert file.name.startswith("error-x-")
    assert "upstream-secret" not in text
    assert ("=== API ERROR RESPONSE ===" in text) is (how == "broken")


def test_only_so_many_failures_are_kept(tmp_path: Path) -> None:
    keeper = scribe(tmp_path, everything=False, most=2)
    for number in range(5):
        subject = begun(keeper)
        subject.request("POST", f"/{number}", [], "1.0")
        subject.response(500, [])
        subject.end("id")
    assert keeper.writer.close(10)
    assert len(list(tmp_path.iterdir())) == 2


def test_a_full_disk_is_told_and_stops_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = module.write_all, iter(range(100))

    def sometimes_full(descriptor: int, data: bytes) -> None:
        if next(calls) == 1:
            raise OSError(28, "No space left on device")
        real(descriptor, data)

    monkeypatch.setattr(module, "write_all", sometimes_full)
    subject = begun(scribe(tmp_path))
    subject.request("POST", "/x", [("a", "b")], "1.0")
    subject.response(200, [])
    assert "bytes are missing" in written(subject)


def test_incomplete_files_are_bounded_too(tmp_path: Path) -> None:
    subject = begun(scribe(tmp_path, most_bytes=2000))
    subject.request("POST", "/x", [], "1.0")
    subject.request_body(b"x" * 5000)
    text = written(subject)
    assert len(text) < 1100
    assert "bytes are missing" in text
    assert subject.scribe.folder.part_bytes == 0


@pytest.mark.parametrize(
    ("field", "value", "remark"),
    [
        ("Content-Encoding", "gzip", "[gzip: not written down]"),
        ("content-type", "multipart/form-data; boundary=x", "[multipart/form-data: not written down]"),
        ("Content-Encoding", "identity", ""),
        ("content-type", "application/json", ""),
    ],
)
def test_a_body_that_nobody_could_read_is_left_out(
    tmp_path: Path, field: str, value: str, remark: str
) -> None:
    subject = begun(scribe(tmp_path))
    subject.request("POST", "/x", [(field, value)], "1.0")
    subject.request_body(b"the body")
    text = written(subject)
    assert ("the body" in text) is (remark == "")
    assert remark in text
    assert "cut off" not in text


def test_figures_about_tokens_are_no_secrets(tmp_path: Path) -> None:
    subject = begun(scribe(tmp_path))
    subject.answered(asked(subject), 429, [("x-ratelimit-remaining-tokens", "0"), ("x-token", "abc")])
    text = written(subject)
    assert "x-ratelimit-remaining-tokens: 0\nx-token: ***\n" in text


def test_what_a_client_calls_a_secret_is_masked_where_it_is_quoted(tmp_path: Path) -> None:
    subject = begun(scribe(tmp_path))
    subject.request("POST", "/x", [], "1.0")
    subject.request_body(b'{"metadata": {"api_key": "hunter2hunter2"}}')
    subject.answered(asked(subject), 400, [("x-echo", "you sent hunter2hunter2")])
    assert "hunter2" not in written(subject)


@contextmanager
def hanging(writer: Writer) -> Iterator[None]:
    """A disk that does nothing for the length of the block."""
    gate, began = threading.Event(), threading.Event()

    def wait() -> None:
        began.set()
        gate.wait(10)

    writer.submit(wait)
    began.wait(10)
    try:
        yield
    finally:
        gate.set()


def test_a_disk_that_hangs_costs_neither_time_nor_memory(tmp_path: Path) -> None:
    """What is handed over is bounded, what follows is not begun, and of what was lost no half is shown."""
    keeper = scribe(tmp_path)
    keeper.writer.most_bytes = 100_000
    subject = begun(keeper)
    with hanging(keeper.writer):
        subject.request("POST", "/x", [("Authorization", f"Bearer {SECRET}")], "1.0")
        subject.request_body(b"x" * 90_000 + SECRET[:12].encode())
        subject.request_body(SECRET[12:].encode() + b"y" * 20_000)
        subject.request_body(b"later")
        assert keeper.writer.waiting_bytes <= 100_000
        assert keeper.begin() is None
        subject.end("id")
    assert keeper.skipped == 1
    assert keeper.writer.close(10)
    [file] = tmp_path.iterdir()
    text = file.read_text()
    assert text.count("x") > 80_000
    assert "tweet" not in text
    assert "later" not in text
    assert "[the rest is missing]" in text
    assert "bytes are missing: the disk did not keep up" in text


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="the descriptors of Linux")
def test_no_file_stays_open(tmp_path: Path) -> None:
    """Descriptors are for connections."""
    keeper = scribe(tmp_path)
    for _ in range(5):
        subject = begun(keeper)
        subject.request("POST", "/x", [], "1.0")
        subject.response(200, [])
    assert keeper.writer.close(10)
    assert len(list(tmp_path.iterdir())) == 10
    assert not [each for each in Path("/proc/self/fd").iterdir() if str(tmp_path) in str(each.resolve())]


def test_a_directory_that_cannot_be_written_to_stops_nobody(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    subject = begun(scribe(tmp_path / "file" / "logs"))
    subject.request("POST", "/x", [], "1.0")
    subject.end("id")
    assert subject.scribe.writer.close(10)
