"""An RSA key made for this run, in the forms that files and emulators want it in."""

from functools import cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

EMAIL = "robot@my-project.iam.gserviceaccount.com"
KEY_ID = "0123456789abcdef"


@cache
def private_key() -> rsa.RSAPrivateKey:
    """The key; made once, for it takes a moment."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def pem(form: PrivateFormat = PrivateFormat.PKCS8) -> str:
    """The private key as text: `PKCS8` is what Google hands out, `TraditionalOpenSSL` what is kept."""
    return private_key().private_bytes(Encoding.PEM, form, NoEncryption()).decode()


def public_pem() -> str:
    """The public key as text."""
    return private_key().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def service_account(**changes: Any) -> dict[str, Any]:
    """The key file of a service account, as Google makes it."""
    return {
        "type": "service_account",
        "project_id": "my-project",
        "private_key_id": KEY_ID,
        "private_key": pem(),
        "client_email": EMAIL,
        "client_id": "100000000000000000002",
        "auth_uri": "https://accounts.google.com/o/oauth2/auth",
        "token_uri": "https://oauth2.googleapis.com/token",
        "universe_domain": "googleapis.com",
        **changes,
    }


def known_account(project: str = "my-project") -> dict[str, Any]:
    """What the emulated vendor has to know of the account."""
    return {EMAIL: {"project": project, "key_id": KEY_ID, "public_key": public_pem()}}
