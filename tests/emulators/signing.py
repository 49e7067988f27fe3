"""Reasoning signatures in the shapes the vendors use, made with a key of our own.

A real service recognises only what it issued. So does an emulator: a value made here for one vendor is
refused by the others, and so is anything a proxy invents or damages. The shapes (a protobuf record for
Claude and Gemini, a Fernet token for OpenAI) are the vendors', because proxies tell a signature's origin by
them.
"""

import hashlib
import hmac
from base64 import b64decode, b64encode, urlsafe_b64decode, urlsafe_b64encode

_KEY = b"emulated reasoning"
_MAC_SIZE = 32
_RECORD = 0x12
_FERNET_HEAD = b"\x80" + b"\x00" * 8 + b"\x07" * 16


def _mac(vendor: str, text: str) -> bytes:
    return hmac.digest(_KEY, f"{vendor}\0{text}".encode(), hashlib.sha256)


def claude_signature(text: str) -> str:
    """Sign thinking text the way Claude does: a record that names a model."""
    inner = b"\x0a\x0fclaude-emulated" + _mac("claude", text) + b"\x18\x02"
    return b64encode(bytes((_RECORD, len(inner))) + inner).decode()


def is_claude_signature(value: str, text: str) -> bool:
    """Whether a signature is ours and the text is the signed one (or was left out of the answer)."""
    try:
        data = b64decode(value, validate=True)
    except ValueError:
        return False
    return data.startswith(bytes((_RECORD,))) and (
        hmac.compare_digest(value, claude_signature(text)) or (not text and b"claude-emulated" in data)
    )


def gemini_signature(text: str) -> str:
    """Sign a part the way Gemini does: one bare record."""
    inner = _mac("gemini", text)
    return b64encode(bytes((_RECORD, len(inner))) + inner).decode()


def is_gemini_signature(value: str) -> bool:
    """Whether a signature has the shape only this emulator gives out; either alphabet will do for bytes."""
    try:
        data = b64decode(value.replace("-", "+").replace("_", "/"), validate=True)
    except ValueError:
        return False
    return len(data) == _MAC_SIZE + 2 and data[:2] == bytes((_RECORD, _MAC_SIZE))


def openai_encrypted(text: str) -> str:
    """Seal reasoning the way OpenAI does: a Fernet token with nothing readable in it."""
    body = _FERNET_HEAD + hashlib.sha256(text.encode()).digest()
    return urlsafe_b64encode(body + hmac.digest(_KEY, b"openai\0" + body, hashlib.sha256)).decode()


def is_openai_encrypted(value: str) -> bool:
    """Whether an encrypted content was made here and is undamaged."""
    try:
        data = urlsafe_b64decode(value)
    except ValueError:
        return False
    body, mac = data[:-_MAC_SIZE], data[-_MAC_SIZE:]
    return hmac.compare_digest(mac, hmac.digest(_KEY, b"openai\0" + body, hashlib.sha256))
