from pathlib import Path

import pytest

from cliproxy.config.entries import OAuthClient as ConfiguredClient
from cliproxy.errors import LoginError
from cliproxy.login.clients import ClientSource, Installed
from cliproxy.service.clients import finder, installed_secret
from cliproxy.wire.secret import Secret

INSTALLED = Installed(
    program="vendor-cli",
    files=("node_modules/@vendor/*/dist/*.js",),
    secret=r'SECRET = "(VND-[A-Za-z0-9]{8})"',
)
SOURCE = ClientSource(
    name="vendor",
    vendor="Vendor",
    id="published",
    id_variable="VENDOR_ID",
    secret_variable="VENDOR_SECRET",
    needs_secret=True,
    installed=INSTALLED,
)


def install(root: Path, content: str) -> Path:
    """Lay out a program as package managers do: a link in ``bin`` to a file of the package."""
    package = root / "lib" / "node_modules" / "@vendor" / "cli"
    code = package / "node_modules" / "@vendor" / "core" / "dist" / "oauth.js"
    code.parent.mkdir(parents=True)
    code.write_text(content)
    (package / "dist").mkdir()
    (package / "dist" / "index.js").write_text("#!/usr/bin/env node\n")
    program = root / "bin" / "vendor-cli"
    program.parent.mkdir()
    program.symlink_to(package / "dist" / "index.js")
    return program


async def test_the_environment_comes_first_then_the_configuration() -> None:
    configured = {"vendor": ConfiguredClient(client_id="mine", client_secret=Secret("c0nfigured"))}
    client = await finder({"VENDOR_SECRET": " fr0m-env "}, configured)(SOURCE)
    assert client.secret is not None
    assert (client.id, client.secret.reveal()) == ("mine", "fr0m-env")
    client = await finder({}, configured)(SOURCE)
    assert client.secret is not None
    assert (client.id, client.secret.reveal()) == ("mine", "c0nfigured")


async def test_the_vendors_own_program_is_the_last_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = install(tmp_path, 'const SECRET = "VND-abcd1234";')
    program.chmod(0o755)
    (program.resolve()).chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent))
    client = await finder({}, {})(SOURCE)
    assert client.secret is not None
    assert (client.id, client.secret.reveal()) == ("published", "VND-abcd1234")


async def test_what_is_nowhere_is_missed_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(LoginError) as caught:
        await finder({}, {})(SOURCE)
    assert "VENDOR_SECRET" in caught.value.hint


def test_a_program_without_the_secret_gives_none(tmp_path: Path) -> None:
    program = install(tmp_path, "nothing here")
    assert installed_secret(INSTALLED, lambda _name: str(program)) == ""


def test_a_program_that_is_not_there_gives_none(tmp_path: Path) -> None:
    assert installed_secret(INSTALLED, lambda _name: None) == ""
    assert installed_secret(INSTALLED, lambda _name: str(tmp_path / "gone")) == ""


@pytest.mark.parametrize("kind", ["directory", "unreadable"])
def test_files_that_cannot_be_read_are_passed_over(tmp_path: Path, kind: str) -> None:
    program = install(tmp_path, 'SECRET = "VND-abcd1234"')
    odd = tmp_path / "lib/node_modules/@vendor/cli/node_modules/@vendor/core/dist/a.js"
    if kind == "directory":
        odd.mkdir()
    else:
        odd.symlink_to(tmp_path / "nowhere")
    assert installed_secret(INSTALLED, lambda _name: str(program)) == "VND-abcd1234"
