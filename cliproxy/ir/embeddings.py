"""Embeddings: texts in, one vector of numbers for each out.

An action of its own with values of its own, since it has nothing of a conversation. What the dialects differ
in is small: whether token numbers may stand for a text, whether the purpose of the vectors can be named, and
how a vector is written. One way to write it is base64 of little-endian 32-bit floats, which is read and
written here.

An upstream may take fewer texts at a time than the client sends. It is then asked for the first of them, and
the answer is a *portion*; the exchange asks for the rest and joins the answers.
"""

import struct
from base64 import b64decode, b64encode
from collections.abc import Sequence
from typing import Final, TypeAlias

from attrs import field, frozen

from cliproxy.ir.response import Usage

Tokens: TypeAlias = list[int]
"""A text as the numbers of a vendor's tokenizer."""
Vector: TypeAlias = Sequence[float | int]

FLOAT_BYTES: Final = 4


@frozen(kw_only=True)
class EmbeddingRequest:
    """What is to be embedded, and how."""

    model: str
    inputs: Sequence[str | Tokens]
    dimensions: int | None = None
    """Wanted length of the vectors; ``None``: the model's own."""
    task: str = ""
    """What the vectors are for, in Gemini's words: ``RETRIEVAL_QUERY`` and so on."""
    title: str = ""
    """Title of the document that is embedded."""
    user: str = ""


@frozen(kw_only=True)
class Embeddings:
    """The vectors, in the order of the inputs."""

    vectors: Sequence[Vector]
    model: str = ""
    usage: Usage = field(factory=Usage)


def read_base64(text: str) -> Vector:
    """Read a vector. Raises ``ValueError`` for a text that is none."""
    try:
        packed = b64decode(text, validate=True)
    except ValueError as exc:
        raise ValueError(f"not base64: {exc}") from exc
    if len(packed) % FLOAT_BYTES:
        raise ValueError(f"{len(packed)} bytes are no 32-bit floats")
    return struct.unpack(f"<{len(packed) // FLOAT_BYTES}f", packed)


def write_base64(vector: Vector) -> str:
    """Write a vector. Raises ``ValueError`` for a number beyond the range of 32-bit floats."""
    try:
        packed = struct.pack(f"<{len(vector)}f", *vector)
    except OverflowError as exc:
        raise ValueError("a number of the vector does not fit 32 bits") from exc
    return b64encode(packed).decode("ascii")
