"""Private RSA keys: brought into one form, and signed with.

Keys reach us in files that people copied through terminals, editors and environment variables, which leave
their traces: line ends of other systems, ``\\n`` written out, colours, lost line breaks. What is left of the
key is its base64 text between two marks; :func:`normal_key` finds it, checks that it is a key, and writes it
in the form ``RSA PRIVATE KEY``.

The library that does the mathematics is large, so it is read on first use: most owners have no such key.
"""

import re
from typing import TYPE_CHECKING, Final

from cliproxy.errors import LoginError
from cliproxy.wire.secret import Secret

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

_COLOURS: Final = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_BETWEEN_MARKS: Final = re.compile(r"-+\s*BEGIN (RSA |)PRIVATE KEY\s*-+(.*?)-+\s*END", re.DOTALL)
_LOCKED: Final = ("ENCRYPTED PRIVATE KEY", "Proc-Type: 4,ENCRYPTED")
_NOT_BASE64: Final = re.compile(r"[^A-Za-z0-9+/]+")
_LINE: Final = 64
_GROUP: Final = 4
_HINT: Final = "Download a new key of the account, and hand in the file as it is."


def normal_key(written: str) -> str:
    """Return a private RSA key in the form ``RSA PRIVATE KEY``. Raises
    :class:`~cliproxy.errors.LoginError`."""
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = _loaded(_repaired(written))
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    return pem.decode("ascii")


def sign(key: Secret, message: bytes) -> bytes:
    """Sign a message: RSASSA-PKCS1-v1_5 with SHA-256. Raises :class:`~cliproxy.errors.LoginError` for a key
    that is none."""
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.hashes import SHA256

    return _loaded(_repaired(key.reveal())).sign(message, PKCS1v15(), SHA256())


def _repaired(written: str) -> str:
    """Rebuild a key's text out of what may have been done to it."""
    if any(mark in written for mark in _LOCKED):
        raise LoginError(
            "the private key is locked with a passphrase", code="bad_key", hint="Hand in one without."
        )
    plain = _COLOURS.sub("", written).replace("\\r", "").replace("\\n", "\n")
    marked = _BETWEEN_MARKS.search(plain)
    if marked is None:
        raise LoginError("there is no private RSA key", code="bad_key", hint=_HINT)
    kind, content = marked.groups()
    digits = _NOT_BASE64.sub("", content)
    padded = digits + "=" * (-len(digits) % _GROUP)
    lines = [padded[begin : begin + _LINE] for begin in range(0, len(padded), _LINE)]
    return "\n".join([f"-----BEGIN {kind}PRIVATE KEY-----", *lines, f"-----END {kind}PRIVATE KEY-----", ""])


def _loaded(pem: str) -> "RSAPrivateKey":
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(pem.encode("ascii"), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
        # Not what the library says: it may quote from the key.
        raise LoginError("the private key is damaged", code="bad_key", hint=_HINT) from exc
    if not isinstance(key, RSAPrivateKey):
        raise LoginError("the private key is not an RSA key", code="bad_key", hint=_HINT)
    return key
