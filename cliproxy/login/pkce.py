"""Proof Key for Code Exchange: a random verifier, and its hash as the challenge.

The challenge travels through the browser, the verifier goes straight to the token endpoint: whoever catches
the code on its way back cannot use it.
"""

import base64
import hashlib
from typing import Final

from attrs import field, frozen

METHOD: Final = "S256"
MIN_VERIFIER: Final = 43
MAX_VERIFIER: Final = 128


@frozen
class Pkce:
    """A verifier and the challenge made from it."""

    verifier: str = field(repr=False)
    challenge: str


def from_random(text: str) -> Pkce:
    """Make a pair from fresh random text of URL-safe characters."""
    assert MIN_VERIFIER <= len(text) <= MAX_VERIFIER, "the verifier needs 43 to 128 characters"
    digest = hashlib.sha256(text.encode("ascii")).digest()
    return Pkce(text, base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii"))
