"""Why HTTPS cannot be served, said with file and line before anything listens."""

from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from cliproxy.config.groups import Tls
from cliproxy.errors import ConfigError
from cliproxy.service.certificate import check_certificate

LINES = {"tls": 3, "tls.cert": 4, "tls.key": 5}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two certificates with their keys, and files that are neither."""
    made = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    for name in ("one", "two"):
        issued = authority.issue_cert("localhost")
        issued.cert_chain_pems[0].write_to_path(made / f"{name}.pem")
        issued.private_key_pem.write_to_path(made / f"{name}.key")
    (made / "text.pem").write_text("not a certificate")
    key = serialization.load_pem_private_key((made / "one.key").read_bytes(), None)
    locked = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"password"),
    )
    (made / "locked.key").write_bytes(locked)
    return made


def complaint(cert: Path, key: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        check_certificate(Tls(enable=True, cert=str(cert), key=str(key)), "c.yaml", LINES)
    return str(caught.value)


def test_a_certificate_with_its_key_is_fine(folder: Path) -> None:
    tls = Tls(enable=True, cert=str(folder / "one.pem"), key=str(folder / "one.key"))
    check_certificate(tls, "c.yaml", LINES)


def test_nothing_is_looked_at_without_https(folder: Path) -> None:
    check_certificate(Tls(enable=False, cert="nowhere", key="nowhere"), "c.yaml", LINES)


def test_files_that_cannot_be_read_are_named_each_with_its_line(folder: Path) -> None:
    said = complaint(folder / "gone.pem", folder)
    assert f"c.yaml: line 4: tls.cert: {folder / 'gone.pem'} cannot be read: No such file" in said
    assert f"c.yaml: line 5: tls.key: {folder} cannot be read: Is a directory" in said


@pytest.mark.parametrize(
    ("cert", "key", "said"),
    [
        ("one.pem", "two.key", "key values mismatch"),
        ("text.pem", "one.key", "cannot be used together"),
        ("one.pem", "text.pem", "cannot be used together"),
        ("one.pem", "locked.key", "is protected by a password"),
    ],
)
def test_files_that_cannot_be_used_are_named_with_the_reason(
    folder: Path, cert: str, key: str, said: str
) -> None:
    text = complaint(folder / cert, folder / key)
    assert text.startswith("c.yaml: line 3: tls: ")
    assert said in text
    assert str(folder / key) in text
