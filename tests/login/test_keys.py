"""Keys that people copied around, and signatures with them."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from cliproxy.errors import LoginError
from cliproxy.login.keys import normal_key, sign
from cliproxy.wire.secret import Secret
from support.keys import pem, private_key

KEPT = pem(PrivateFormat.TraditionalOpenSSL)


def one_line(text: str) -> str:
    return text.replace("\n", " ")


def with_colours(text: str) -> str:
    return f"\x1b[32m{text[:200]}\x1b[0m{text[200:]}\x1b[1;31m"


@pytest.mark.parametrize("written", [pem(), KEPT], ids=["PKCS8", "PKCS1"])
@pytest.mark.parametrize(
    "damage",
    [
        str,
        str.strip,
        one_line,
        with_colours,
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("\n", "\r"),
        lambda text: text.replace("\n", "\\n"),
        lambda text: text.replace("\n", "\\r\\n"),
        lambda text: text.replace("\n", ""),
        lambda text: text.replace("\n", "\n  \t"),
        lambda text: text.replace("=", ""),
        lambda text: f"my key:\n{text}\nthat was it",
        lambda text: text.replace("M", "\x00M\ufffd"),
    ],
)
def test_a_key_is_found_whatever_was_done_to_it(written: str, damage) -> None:
    assert normal_key(damage(written)) == KEPT


def locked() -> str:
    encryption = BestAvailableEncryption(b"secret")
    return private_key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption).decode()


def of_another_kind() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("", "no private RSA key"),
        ("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----", "no private RSA key"),
        ("-----BEGIN PRIVATE KEY-----\nnonsense\n-----END PRIVATE KEY-----", "damaged"),
        (pem()[:600] + pem()[700:], "damaged"),
        (locked(), "passphrase"),
        (of_another_kind(), "not an RSA key"),
    ],
)
def test_what_is_no_key_is_refused_without_quoting_it(written: str, reason: str) -> None:
    with pytest.raises(LoginError, match=reason) as caught:
        normal_key(written)
    assert caught.value.code == "bad_key"
    assert "nonsense" not in caught.value.explained


@pytest.mark.parametrize("written", [pem(), KEPT])
def test_a_signature_is_true(written: str) -> None:
    signature = sign(Secret(written), b"message")
    private_key().public_key().verify(signature, b"message", PKCS1v15(), SHA256())
