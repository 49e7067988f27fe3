"""Requests written down: their sections, their bounds, and what is left out."""

import json
import os
import stat
import tempfile
from itertools import accumulate, pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cliproxy.observe import transcript as module
from cliproxy.observe.folder import Folder
from cliproxy.observe.transcript import LINE, LONGEST, OVERLAP, Scribe, Transcript
from cliproxy.observe.writer import Writer
from cliproxy.wire.veil import Veil

SECRET = "tweet/tweet/tweet-0123456789"
HEADERS = [("Authorization", f"Bearer {SECRET}"), ("X-Team", "blue"), ("Cookie", SECRET)]


def scribe(path: Path, *, everything: bool = True, most: int = 10, most_bytes: int = 10**8) -> Scribe:
    folder = Folder(path, most_bytes=most_bytes)
    return Scribe(folder=folder, writer=Writer(), everything=everything, most_errors=most)


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
    subject = scribe(tmp_path).begin()
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
        "Status: 429\nHeaders:\nretry-after: 1\nBody:\n\nslow down",
        "data: 1\n\ndata: 2\n\n",
        "data: one\n\ndata: two\n\n",
    ):
        assert part in text
    assert SECRET not in text
    assert "missing" not in text


@pytest.mark.skipif(os.name != "posix", reason="modes of POSIX systems")
def test_the_file_is_named_by_the_request_and_its_owners(tmp_path: Path) -> None:
    subject = scribe(tmp_path).begin()
    subject.request("POST", "/v1beta/models/../x y:go?key=a", [], "1.0")
    written(subject)
    [file] = tmp_path.iterdir()
    assert file.name.startswith("v1beta-models-..-x-y-go-2")
    assert file.name.endswith("-a1b2c3d4.log")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_answers_that_come_at_the_same_time_are_told_apart(tmp_path: Path) -> None:
    subject = scribe(tmp_path).begin()
    one, two = asked(subject), asked(subject)
    subject.answered(one, 200, [])
    subject.answered(two, 200, [])
    subject.came(one, b"of one\n")
    subject.came(two, b"of two\n")
    text = written(subject)
    assert text.index("of one") > text.rindex("=== API RESPONSE 1 ===") > text.index("=== API RESPONSE 2 ===")
    assert text.index("of two") > text.rindex("=== API RESPONSE 2 ===")


def body_written(pieces: list[bytes]) -> bytes:
    """What is written of a request's body that comes in pieces."""
    with tempfile.TemporaryDirectory() as directory:
        subject = scribe(Path(directory)).begin()
        subject.covers([SECRET])
        for piece in pieces:
            subject.request_body(piece)
        text = written(subject)
    return text.partition("=== REQUEST BODY ===\n\n")[2].encode()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 40), max_size=20))
def test_a_secret_is_masked_in_whatever_pieces_it_comes(sizes: list[int]) -> None:
    """Pieces are kept back until it is known what they are part of."""
    data = f'data: {{"said": "a {SECRET} b", "x": "{SECRET}"}}\n\nmore {SECRET}'.encode()
    ends = [*accumulate(sizes), len(data)]
    pieces = [data[begin:end] for begin, end in pairwise([0, *ends])]
    assert body_written(pieces) == Veil([SECRET]).data(data) + b"\n"


@settings(max_examples=15, deadline=None)
@given(lead=st.integers(0, 200), piece=st.sampled_from([997, LINE - 3, 2 * LINE]))
def test_so_is_one_in_a_line_without_end(lead: int, piece: int) -> None:
    data = (b"x" * (LINE - OVERLAP - lead) + SECRET.encode()) * 4
    text = body_written([data[at : at + piece] for at in range(0, len(data), piece)])
    assert text.count(b"***") == 4
    assert b"tweet" not in text


@pytest.mark.parametrize(
    "member",
    [
        '"api_key": "hunter2hunter2"',
        '"x-api-key":"hunter2hunter2"',
        '"client_secret" : "hunter2\\"hunter2"',
        '"refresh_token":"hunter2hunter2"',
        '"Authorization":"Basic hunter2hunter2"',
    ],
)
def test_members_that_speak_of_secrets_are_masked(tmp_path: Path, member: str) -> None:
    subject = scribe(tmp_path).begin()
    subject.request_body(b"{" + member.encode() + b', "max_tokens": 7}')
    text = written(subject)
    assert "hunter2" not in text
    assert json.loads(text.splitlines()[2])["max_tokens"] == 7


def test_a_section_ends_somewhere_and_says_so(tmp_path: Path) -> None:
    subject = scribe(tmp_path).begin()
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
    good = scribe(tmp_path / "good", everything=False).begin()
    good.request("POST", "/x", [], "1.0")
    good.answered(asked(good), 200, [])
    good.response(200, [])
    assert written(good) == ""


@pytest.mark.parametrize("how", ["refused", "upstream refused", "broken"])
def test_a_failure_anywhere_is_one(tmp_path: Path, how: str) -> None:
    subject = scribe(tmp_path, everything=False).begin()
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
        subject = keeper.begin()
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
    subject = scribe(tmp_path).begin()
    subject.request("POST", "/x", [("a", "b")], "1.0")
    subject.response(200, [])
    assert "bytes are missing" in written(subject)


def test_incomplete_files_are_bounded_too(tmp_path: Path) -> None:
    subject = scribe(tmp_path, most_bytes=2000).begin()
    subject.request("POST", "/x", [], "1.0")
    subject.request_body(b"x" * 5000)
    text = written(subject)
    assert len(text) < 1100
    assert "bytes are missing" in text
    assert subject.scribe.folder.part_bytes == 0


def test_a_directory_that_cannot_be_written_to_stops_nobody(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    subject = scribe(tmp_path / "file" / "logs").begin()
    subject.request("POST", "/x", [], "1.0")
    subject.end("id")
    assert subject.scribe.writer.close(10)
