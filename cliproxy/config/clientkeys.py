"""What an entry of ``client-keys`` needs, and the form in which client keys are compared.

Keys are compared by their SHA-256, so that an owner need not keep them: what stands in the file may be the
hash alone. That is safe for the long random keys that are made here, and no protection for a word that
somebody has thought up.

Whatever is wrong with an entry is an error and not a warning: an entry that is read in another way than it
was meant allows what its owner wanted to forbid.
"""

import re
from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import Final

import attrs
from attrs import frozen

from cliproxy.config.entries import ClientKey
from cliproxy.config.normalize import end_of, normal_patterns
from cliproxy.wire.secret import Secret

HASH_MARK: Final = "sha256:"
SAMPLE_KEY: Final = re.compile(r"your-api-key(-\d+)?")
"""Client keys from example files, which anybody knows."""
SHORT_KEY: Final = 16
SAMPLE: Final = "is a sample from an example file, which everybody knows; choose a key of your own"
SHORT: Final = f"is shorter than {SHORT_KEY} characters and may be guessed"
LONGEST_NAME: Final = 64

_HASH: Final = re.compile(HASH_MARK + "[0-9a-f]{64}")
_SAMPLES: Final = ("your-api-key", *(f"your-api-key-{number}" for number in range(10)))


@frozen
class Finding:
    """What is wrong, and where."""

    path: str
    message: str
    fatal: bool = True


def hash_of(key: str) -> str:
    """Return a key's hash, as it stands in the file."""
    return HASH_MARK + sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def entry_hash(entry: ClientKey) -> str:
    """Return the hash of an entry's key."""
    return entry.hash.reveal() or hash_of(entry.key.reveal())


_SAMPLE_HASHES: Final = frozenset(map(hash_of, _SAMPLES))


def normal_client_key(entry: ClientKey) -> ClientKey:
    """Return an entry in its normal form."""
    return attrs.evolve(
        entry,
        name=entry.name.strip(),
        key=Secret(entry.key.reveal().strip()),
        hash=Secret(entry.hash.reveal().strip().lower()),
        models=normal_patterns(entry.models),
        providers=normal_patterns(entry.providers),
    )


def findings(entries: Iterable[ClientKey], plain: Iterable[Secret]) -> Iterator[Finding]:
    """Iterate over what is wrong with the entries; ``plain`` are the keys without limits.

    The entries are as they were read; what is missing shows no more once they have their normal form.
    """
    unlimited = {hash_of(key.reveal()) for key in plain}
    names: set[str] = set()
    hashes: set[str] = set()
    for raw in entries:
        entry = normal_client_key(raw)
        yield from _of_name(entry, names)
        faults = list(_of_key(entry))
        yield from faults
        if not any(fault.fatal for fault in faults):
            yield from _of_identity(entry, unlimited, hashes)
        yield from _of_patterns(raw)
        if entry.expires and end_of(entry.expires) is None:
            yield Finding(
                f"{entry.place}.expires",
                "is neither a date such as 2030-12-31 nor a time with its zone such as 2030-12-31T18:00:00Z",
            )


def _of_name(entry: ClientKey, names: set[str]) -> Iterator[Finding]:
    path = f"{entry.place}.name"
    if not entry.name:
        yield Finding(path, "is missing: every client key has a name")
    elif len(entry.name) > LONGEST_NAME or not entry.name.isprintable():
        yield Finding(path, f"must be one line of at most {LONGEST_NAME} characters")
    elif entry.name.casefold() in names:
        yield Finding(path, "is the name of an earlier client key")
    names.add(entry.name.casefold())


def _of_key(entry: ClientKey) -> Iterator[Finding]:
    key, digest = entry.key.reveal(), entry.hash.reveal()
    if not key and not digest:
        yield Finding(entry.place, "has neither a key nor its hash; `cliproxy keys new` makes both")
    elif key and digest:
        yield Finding(entry.place, "has both a key and a hash; one of them must go")
    elif digest and not _HASH.fullmatch(digest):
        yield Finding(f"{entry.place}.hash", f'must be "{HASH_MARK}" and 64 hexadecimal digits')
    elif digest in _SAMPLE_HASHES:
        yield Finding(f"{entry.place}.hash", SAMPLE)
    elif SAMPLE_KEY.fullmatch(key.lower()):
        yield Finding(f"{entry.place}.key", SAMPLE)
    elif key and len(key) < SHORT_KEY:
        yield Finding(f"{entry.place}.key", SHORT, fatal=False)


def _of_identity(entry: ClientKey, unlimited: set[str], hashes: set[str]) -> Iterator[Finding]:
    """One key is one client: in two places it would have the limits of one of them only."""
    digest = entry_hash(entry)
    if digest in unlimited:
        yield Finding(entry.place, "has a key that is in `api-keys` as well, where nothing limits it")
    elif digest in hashes:
        yield Finding(entry.place, "has the key of an earlier entry")
    hashes.add(digest)


def _of_patterns(entry: ClientKey) -> Iterator[Finding]:
    for name, patterns in (("models", entry.models), ("providers", entry.providers)):
        for index, pattern in enumerate(patterns):
            path = f"{entry.place}.{name}[{index}]"
            if not pattern.strip():
                yield Finding(path, "is empty; without any, everything would be allowed")
            elif any(char.isspace() or not char.isprintable() for char in pattern.strip()):
                yield Finding(path, "has white space or control characters inside")
            elif "://" in pattern:
                yield Finding(path, "names provider and model in one; `providers` and `models` are two lists")
