"""The short stable name of a credential in statistics, logs and management: its *auth index*.

Sixteen hexadecimal digits that tell nothing about the account and stay the same over restarts, renewals and
changes of the file's content.
"""

import hashlib
from typing import Final

from cliproxy.credentials.model import Credential, CredentialKind

DIGITS: Final = 16


def auth_index(credential: Credential) -> str:
    """Return the auth index of a credential."""
    is_file = credential.kind is CredentialKind.ACCOUNT and credential.part_of is None
    seed = f"{'file' if is_file else 'id'}:{credential.id}"
    return hashlib.sha256(seed.encode("utf-8", "surrogatepass")).hexdigest()[:DIGITS]
