"""Signatures: tags, shapes, slots, and the replay table."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cliproxy.ir.request import Family, Signature
from cliproxy.ir.signatures import (
    GEMINI_PLACEHOLDER,
    Anchor,
    Replay,
    carry,
    family_of_model,
    has_foreign_signature,
    read,
    read_anchored,
    replay,
    shape_of,
)


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def record(content: bytes) -> bytes:
    """A protobuf message that consists of field 2 alone."""
    length = len(content)
    head = bytes([length]) if length < 128 else bytes([length & 0x7F | 0x80, length >> 7])
    return b"\x12" + head + content


FERNET = base64.urlsafe_b64encode(b"\x80" + bytes(8) + bytes(16) + bytes(32) + bytes(32)).decode()
CLAUDE = b64(record(b"\x0a\x10 claude-opus-4-8 " + bytes(range(100))))
CLAUDE_TWICE = b64(CLAUDE.encode())
CLAUDE_SHORT = b64(b"\x08\x0aclaude-sonnet-4-5")
GEMINI = b64(record(bytes(range(40, 190))))
UUID = b64(record(b"0f8fad5b-d9cb-469f-a165-70867728950e"))
KIMI = "kA" * 2170


@pytest.mark.parametrize(
    ("value", "family"),
    [
        (FERNET, Family.GPT),
        (FERNET.rstrip("="), Family.GPT),
        (b64(b"\x80" + bytes(71)), None),
        ("gAAAA", None),
        ("gAAAA+/" + FERNET[7:], None),
        (CLAUDE, Family.CLAUDE),
        (CLAUDE_TWICE, Family.CLAUDE),
        (CLAUDE_SHORT, Family.CLAUDE),
        (b64(b"\x08\x0aother"), None),
        (GEMINI, Family.GEMINI),
        (GEMINI.rstrip("="), Family.GEMINI),
        (b64(GEMINI.encode()), None),
        (b64(b"\x12\x05abc"), None),
        (b64(b"\x12\xff\xff\xff\xff\xff\xff"), None),
        ("Eg", None),
        (b64(b"\x13abc"), None),
        (UUID, Family.UNKNOWN),
        (GEMINI_PLACEHOLDER, Family.GEMINI),
        ("context_engineering_is_the_way_to_go", Family.GEMINI),
        (KIMI, Family.KIMI),
        ("E" * 4340, Family.KIMI),
        ("k" * 4339 + "=", None),
        ("k A" * 10, None),
        ("E?", None),
        ("EAAAA", None),
        ("R?", None),
        ("", None),
    ],
)
def test_shapes(value: str, family: Family | None) -> None:
    assert shape_of(value) is family


@pytest.mark.parametrize(
    ("value", "slot", "expected"),
    [
        ("sig", Family.CLAUDE, Signature("sig", Family.CLAUDE)),
        ("sig", Family.GPT, Signature("sig", Family.GPT)),
        (FERNET, Family.CLAUDE, Signature(FERNET, Family.GPT)),
        (CLAUDE, Family.GPT, Signature(CLAUDE, Family.CLAUDE)),
        ("anthropic#x", Family.GPT, Signature("x", Family.CLAUDE)),
        ("Google#x", Family.GPT, Signature("x", Family.GEMINI)),
        ("codex#x", Family.CLAUDE, Signature("x", Family.GPT)),
        ("openai#x", Family.CLAUDE, Signature("x", Family.GPT)),
        ("other#x", Family.CLAUDE, Signature("other#x", Family.UNKNOWN)),
        ("a b#x", Family.CLAUDE, Signature("a b#x", Family.UNKNOWN)),
        (b64(b"claude#x"), Family.GEMINI, Signature("x", Family.CLAUDE)),
        (b64(b"claude#\xff"), Family.GPT, Signature(b64(b"claude#\xff"), Family.GPT)),
        ("gemini.sideways#x", Family.CLAUDE, Signature("gemini.sideways#x", Family.UNKNOWN)),
    ],
)
def test_reading(value: str, slot: Family, expected: Signature) -> None:
    assert read(value, slot) == expected


def test_old_claude_signature_stays_claudes_in_its_own_slot() -> None:
    """Without a model name inside it looks like Gemini's; dropping it would break a valid history."""
    assert read(GEMINI, Family.CLAUDE).family is Family.CLAUDE
    assert read(GEMINI, Family.GPT).family is Family.GEMINI


def test_native_signature_travels_bare() -> None:
    assert carry(Signature("sig", Family.CLAUDE), Family.CLAUDE) == "sig"
    assert carry(Signature("sig", Family.GEMINI), Family.CLAUDE) == "gemini#sig"
    assert carry(Signature("sig", Family.UNKNOWN), Family.CLAUDE) == "unknown#sig"


def test_signature_that_would_be_misread_is_tagged_even_at_home() -> None:
    assert carry(Signature(FERNET, Family.CLAUDE), Family.CLAUDE) == "claude#" + FERNET


def test_recognisable_signature_needs_no_tag_abroad() -> None:
    assert carry(Signature(FERNET, Family.GPT), Family.CLAUDE) == FERNET


def test_in_geminis_slot_a_foreign_signature_is_base64() -> None:
    """The slot is of type bytes: the vendor's clients refuse the whole answer otherwise."""
    carried = carry(Signature("sig", Family.CLAUDE), Family.GEMINI)
    assert base64.b64decode(carried, validate=True) == b"claude#sig"
    assert read(carried, Family.GEMINI) == Signature("sig", Family.CLAUDE)
    assert read(carried.rstrip("="), Family.GEMINI) == Signature("sig", Family.CLAUDE)
    assert has_foreign_signature({"parts": [{"thoughtSignature": carried}]}, Family.GEMINI)
    assert not has_foreign_signature({"parts": [{"thoughtSignature": GEMINI}]}, Family.GEMINI)


values = st.one_of(
    st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=40),
    st.sampled_from(
        [FERNET, CLAUDE, CLAUDE_TWICE, CLAUDE_SHORT, GEMINI, UUID, KIMI, GEMINI_PLACEHOLDER, "claude#x"]
    ),
)


@given(values, st.sampled_from(Family), st.sampled_from(Family), st.sampled_from(Anchor))
def test_whatever_is_carried_is_read_back(value: str, family: Family, native: Family, anchor: Anchor) -> None:
    signature = Signature(value, family)
    assert read_anchored(carry(signature, native, anchor), native) == (signature, anchor)


@given(st.text(max_size=80), st.sampled_from(Family))
def test_reading_is_total(value: str, native: Family) -> None:
    assert read(value, native).value in value


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("claude-opus-4-8", Family.CLAUDE),
        ("anthropic/Claude-3", Family.CLAUDE),
        ("gemini-3-pro-preview", Family.GEMINI),
        ("gemini-claude-sonnet-4-5", Family.CLAUDE),
        ("gpt-5.2", Family.GPT),
        ("openai/whatever", Family.GPT),
        ("codex-mini", Family.GPT),
        ("o3-mini", Family.GPT),
        ("router/o1", Family.GPT),
        ("kimi-k2-thinking", Family.KIMI),
        ("moonshot-v1", Family.KIMI),
        ("k2.5", Family.KIMI),
        ("grok-4", Family.GROK),
        ("foo1", Family.UNKNOWN),
        ("mistral", Family.UNKNOWN),
        ("", Family.UNKNOWN),
    ],
)
def test_family_of_a_model_name(name: str, family: Family) -> None:
    assert family_of_model(name) is family


@pytest.mark.parametrize(
    ("signature", "target", "expected"),
    [
        (Signature("s", Family.CLAUDE), Family.CLAUDE, Replay.KEEP),
        (Signature("", Family.CLAUDE), Family.CLAUDE, Replay.DROP),
        (Signature("s", Family.GEMINI), Family.CLAUDE, Replay.DROP),
        (None, Family.CLAUDE, Replay.DROP),
        (Signature("s", Family.GPT), Family.GPT, Replay.KEEP),
        (Signature("s", Family.CLAUDE), Family.GPT, Replay.DROP),
        (Signature("s", Family.GEMINI), Family.GEMINI, Replay.KEEP),
        (Signature("s", Family.CLAUDE), Family.GEMINI, Replay.STRIP),
        (None, Family.GEMINI, Replay.STRIP),
        (Signature("s", Family.KIMI), Family.KIMI, Replay.KEEP),
        (Signature("s", Family.CLAUDE), Family.KIMI, Replay.STRIP),
        (Signature("s", Family.GROK), Family.GROK, Replay.KEEP),
        (Signature("s", Family.GPT), Family.GROK, Replay.DROP),
        (Signature("s", Family.UNKNOWN), Family.UNKNOWN, Replay.STRIP),
    ],
)
def test_replay(signature: Signature | None, target: Family, expected: Replay) -> None:
    assert replay(signature, target) is expected


def test_foreign_signatures_are_found_anywhere_in_a_body() -> None:
    body = {
        "messages": [
            {"role": "assistant", "content": [{"type": "thinking", "thinking": "t", "signature": "sig"}]}
        ]
    }
    assert not has_foreign_signature(body, Family.CLAUDE)
    assert not has_foreign_signature({"a": [1, None]}, Family.CLAUDE)
    foreign = {"type": "thinking", "signature": "gemini#x"}
    assert has_foreign_signature({"a": [1, None, {"b": foreign}]}, Family.CLAUDE)
    assert has_foreign_signature(
        {"input": [{"type": "reasoning", "encrypted_content": "claude#x"}]}, Family.GPT
    )
    assert has_foreign_signature({"parts": [{"thoughtSignature": "gemini.next-call#x"}]}, Family.GEMINI)


def test_own_tag_counts_as_foreign_because_the_vendor_does_not_know_it() -> None:
    assert has_foreign_signature({"type": "thinking", "signature": "claude#x"}, Family.CLAUDE)


def test_members_of_the_same_name_elsewhere_are_no_signatures() -> None:
    assert not has_foreign_signature({"type": "tool_use", "input": {"signature": "gpt#x"}}, Family.CLAUDE)


def test_data_is_a_signature_in_redacted_thinking_only() -> None:
    assert has_foreign_signature({"type": "redacted_thinking", "data": "gpt#x"}, Family.CLAUDE)
    assert not has_foreign_signature({"type": "base64", "data": "gpt#x"}, Family.CLAUDE)


@pytest.mark.parametrize(
    "signature",
    [
        Signature(b64(record(b"\x0a\x10 claude-opus-4-8 " + bytes(range(156, 256)))), Family.CLAUDE),
        Signature(b64(CLAUDE.encode()), Family.CLAUDE),
        Signature(base64.urlsafe_b64encode(b"\x80" + b"\xfb\xff" * 52).decode(), Family.GPT),
        Signature(GEMINI, Family.GEMINI),
        Signature("a?b", Family.CLAUDE),
        Signature(KIMI, Family.KIMI),
    ],
)
def test_clients_of_geminis_bytes_may_spell_them_as_they_like(signature):
    """The vendor's Python package decodes what it was given and sends it back in the alphabet for URLs."""
    data = base64.urlsafe_b64decode(carry(signature, Family.GEMINI).replace("+", "-").replace("/", "_"))
    for spell in (base64.b64encode, base64.urlsafe_b64encode):
        read_back = read(spell(data).decode(), Family.GEMINI)
        assert read_back.family is signature.family
        if signature.family is not Family.GEMINI:
            assert read_back == signature
