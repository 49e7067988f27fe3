"""Texts masked in pieces: nothing is lost but secrets, and of those everything."""

import base64
import json
from itertools import accumulate, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cliproxy.observe.passage import LINE, MOST_MEMBERS, OVERLAP, STEP, Mask, Passage
from cliproxy.wire.veil import Veil

SECRET = "tweet/tweet/tweet-0123456789"
TOKEN = "sk-tweettweettweet"


def shown(*pieces: bytes, is_torn: bool = False) -> bytes:
    subject = Passage(Mask(Veil([SECRET])))
    return b"".join(map(subject.take, pieces)) + subject.finish(is_torn=is_torn)


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    ends = [*accumulate(sizes), len(data)]
    return [data[begin:end] for begin, end in pairwise([0, *ends])]


@given(st.binary(max_size=300), st.lists(st.integers(1, 60), max_size=8))
def test_what_holds_no_secret_is_shown_as_it_came(data: bytes, sizes: list[int]) -> None:
    assert shown(*cut(data, sizes)) == data


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 40), max_size=20))
def test_a_secret_is_masked_in_whatever_pieces_it_comes(sizes: list[int]) -> None:
    data = f'data: {{"said": "a {SECRET} b {TOKEN}", "api_key": "{SECRET}"}}\n\nmore {SECRET}'.encode()
    wanted = b'data: {"said": "a *** b ***", "api_key": "***"}\n\nmore ***'
    assert shown(*cut(data, sizes)) == wanted


@settings(max_examples=40, deadline=None)
@given(
    lead=st.integers(0, 2 * len(SECRET) + 40),
    piece=st.sampled_from([997, OVERLAP, STEP, LINE - 3, 3 * LINE]),
    kind=st.sampled_from([SECRET, f" {TOKEN} ", '"password": "tweet, tweet, tweet",']),
)
def test_so_is_one_in_a_line_without_end(lead: int, piece: int, kind: str) -> None:
    """Wherever such a line is cut: between the places where secrets are is all that there may be."""
    gap = b"x" * (LINE - OVERLAP - lead)
    data = (gap + kind.encode()) * 6 + gap
    text = shown(*[data[at : at + piece] for at in range(0, len(data), piece)])
    assert b"tweet" not in text
    assert text.count(b"***") == 6
    assert len(text) == len(data) - 6 * (len(kind.strip(' ",').removeprefix('password": "')) - 3)


@pytest.mark.parametrize("left", range(0, len(SECRET), 5))
def test_half_a_secret_is_not_shown_where_a_text_is_torn(left: int) -> None:
    data = b"x" * 3 * OVERLAP + SECRET[: left + 1].encode()
    text = shown(data, is_torn=True)
    assert b"t" not in text
    assert len(text) >= 2 * OVERLAP
    assert shown(b"short", is_torn=True) == b""


@pytest.mark.parametrize(
    "member",
    [
        '"api_key": "hunter2hunter2"',
        '"x-api-key":"hunter2hunter2"',
        '"client_secret" : "hunter2\\"hunter2"',
        '"refresh_token":"hunter2hunter2"',
        '"private_key":"hunter2\\nhunter2"',
        '"Authorization":"Basic hunter2hunter2"',
    ],
)
def test_members_that_speak_of_secrets_are_masked(member: str) -> None:
    text = shown(b"{" + member.encode() + b', "max_tokens": 7}')
    assert b"hunter2" not in text
    assert json.loads(text)["max_tokens"] == 7


def test_what_such_a_member_has_held_is_masked_from_then_on() -> None:
    subject = Passage(Mask())
    assert subject.take('{"password": "pässword!"}\n'.encode()) == b'{"password": "***"}\n'
    assert subject.take("no such pässword!\n".encode()) == b"no such ***\n"


def test_words_that_only_sound_like_secrets_stay() -> None:
    data = b'{"token": "Hello", "max_tokens": "many", "key": "C minor", "secrets": []}'
    assert shown(data) == data


def test_nothing_is_kept_longer_than_needed() -> None:
    subject = Passage(Mask(Veil([SECRET])))
    assert subject.take(b"a line\nand") == b"a line\n"
    assert len(subject.take(b"x" * 4 * LINE)) > 2 * LINE
    assert len(subject.finish()) <= LINE


def test_a_whole_text_is_masked_at_once() -> None:
    mask = Mask()
    assert mask.on(b'"secret": "hunter2hunter2", hunter2hunter2') == b'"secret": "***", ***'
    assert mask.on(base64.b64encode(bytes(60))) == base64.b64encode(bytes(60))


def test_only_so_many_members_are_looked_for_elsewhere() -> None:
    """They are masked all the same where they stand; thousands of them do not keep the writer busy."""
    mask = Mask()
    count = MOST_MEMBERS + 5
    text = "".join(f'"password": "hunter-{number:04}-hunter", ' for number in range(count)).encode()
    assert mask.on(text).count(b"***") == count
    last = f"hunter-{count - 1:04}-hunter".encode()
    assert mask.on(b"hunter-0000-hunter " + last) == b"*** " + last
