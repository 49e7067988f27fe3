"""``check``: everything that is wrong, where and why; and how the accounts are."""

from pathlib import Path

import pytest
import trustme

from cliproxy.cli import main
from cliproxy.providers import PROVIDERS
from support.vendor import VENDOR, account

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of its own, in which the only further provider is the one without a network."""
    monkeypatch.chdir(tmp_path)
    for module in ("check", "world"):
        monkeypatch.setattr(f"cliproxy.cli.{module}.PROVIDERS", (*PROVIDERS, VENDOR))
    return tmp_path


def write(place: Path, text: str) -> Path:
    path = place / "config.yaml"
    path.write_text(f"auth-dir: auth\n{text}")
    path.chmod(0o600)
    return path


def test_without_anything_everything_is_fine(place: Path, capsys: Capture) -> None:
    assert main(["check"]) == 0
    out = capsys.readouterr().out
    assert f"configuration: {place / 'config.yaml'} (does not exist; defaults are used)" in out
    assert "listens on port 8317: this machine only" in out
    assert "no accounts" in out


def test_a_missing_file_that_was_asked_for(place: Path, capsys: Capture) -> None:
    assert main(["check", "-config", "gone.yaml"]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert f"cliproxy: {place / 'gone.yaml'}: there is no such file" in captured.err


def test_all_mistakes_are_told_in_one_run(place: Path, capsys: Capture) -> None:
    path = write(place, "port: 99999\ndebug: maybe\napi-keys:\n  - your-api-key-1\n")
    assert main(["doctor"]) == 1
    out = capsys.readouterr().out
    for part in ("line 2: port: ", "line 3: debug: ", "line 5: api-keys[0]: is a sample"):
        assert f"  error: {path}: {part}" in out
    assert "listens" not in out


def test_text_that_is_no_yaml(place: Path, capsys: Capture) -> None:
    path = write(place, "port: [1\nhost: x\n")
    assert main(["check"]) == 1
    assert f"  error: {path}: line 3: " in capsys.readouterr().out


def test_what_does_no_harm_is_told_too(place: Path, capsys: Capture) -> None:
    path = write(place, "prot: 8318\nantigravity-signature-bypass-strict: true\n")
    assert main(["check"]) == 0
    out = capsys.readouterr().out
    assert f"  unknown key, kept: {path}: line 2: prot" in out
    assert f"  not active yet: {path}: line 3: antigravity-signature-bypass-strict" in out


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("host: 0.0.0.0\n", "line 2: host: `0.0.0.0` is reachable from other machines"),
        ("tls:\n  enable: true\n", "tls.cert: is needed when tls.enable is true"),
        (
            "tls:\n  enable: true\n  cert: gone.pem\n  key: gone.key\n",
            "line 4: tls.cert: gone.pem cannot be read: No such file",
        ),
    ],
)
def test_what_would_keep_the_server_from_starting(place: Path, text: str, said: str, capsys: Capture) -> None:
    path = write(place, text)
    assert main(["check"]) == 1
    out = capsys.readouterr().out
    assert f"  error: {path}: " in out
    assert said in out


def test_a_usable_certificate(place: Path, capsys: Capture) -> None:
    issued = trustme.CA().issue_cert("localhost")
    issued.private_key_and_cert_chain_pem.write_to_path(place / "both.pem")
    write(place, "tls:\n  enable: true\n  cert: both.pem\n  key: both.pem\n")
    assert main(["check"]) == 0


def test_broken_credential_files_are_named(place: Path, capsys: Capture) -> None:
    write(place, "")
    account(place / "auth")
    account(place / "auth", "cut").write_text('{"type": "vendor", "token": "glpat-secret-0123456789')
    assert main(["check"]) == 1
    out = capsys.readouterr().out
    assert f"credential files: {place / 'auth'}" in out
    assert "  error: cut.json: is not a JSON object" in out
    assert "account me.json: vendor me@example.org" in out
    assert "glpat-secret" not in out


def test_accounts_are_looked_at(place: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the order of their files, however long each takes; those that are switched off are left alone."""
    monkeypatch.setattr("cliproxy.cli.check.LIMIT_S", 0.3)
    write(place, "")
    account(place / "auth", "a", says=["signed in as a", "models: \x1b[31mtwo"])
    account(place / "auth", "b", fails="the token has ended")
    account(place / "auth", "c", hangs=True)
    account(place / "auth", "d", fails="is not asked", disabled=True)
    assert main(["check"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[lines.index("account a.json: vendor a@example.org") :] == [
        "account a.json: vendor a@example.org",
        "  logged in",
        "  looking",
        "  signed in as a",
        "  models: \\x1b[31mtwo",
        "account b.json: vendor b@example.org",
        "  logged in",
        "  looking",
        "  error: the token has ended. Log in again.",
        "account c.json: vendor c@example.org",
        "  logged in",
        "  looking",
        "  error: no answer within 0.3 s",
        "account d.json: vendor d@example.org",
        "  switched off",
    ]


def test_accounts_that_are_well(place: Path, capsys: Capture) -> None:
    write(place, "")
    account(place / "auth", says=["signed in"])
    assert main(["check"]) == 0
    assert "  signed in" in capsys.readouterr().out


@pytest.mark.parametrize("section", ["claude-api-key", "codex-api-key", "gemini-api-key", "xai-api-key"])
def test_keys_have_no_login_to_look_at(place: Path, section: str, capsys: Capture) -> None:
    write(place, f"{section}:\n  - api-key: some-key\n    base-url: http://127.0.0.1:9/v1\n")
    assert main(["check"]) == 0
    out = capsys.readouterr().out
    assert f"account {section}[0]" in out
    assert "error" not in out


ALIASES = """\
oauth-model-alias:
  vendor: [{name: known, alias: mine}]
  kimi:
    - {name: kimi-k2, alias: kimi-k2.5}
    - {name: no-such-model, alias: lost}
"""


def test_names_that_do_not_do_what_they_seem_to(place: Path, capsys: Capture) -> None:
    """Of an account that is asked for its models nothing is said about aliases: it was not asked."""
    write(place, ALIASES)
    account(place / "auth")
    (place / "auth" / "kimi-me.json").write_text(
        '{"type": "kimi", "access_token": "t", "expired": "2099-01-01T00:00:00Z"}'
    )
    main(["check"])
    captured = capsys.readouterr()
    said = [line for line in captured.out.splitlines() if line.startswith("name of a model: ")]
    assert [line.split(": ")[1] for line in said] == ["kimi", "kimi"]
    assert "`kimi-k2.5` means `kimi-k2`" in said[0]
    assert "`lost` leads nowhere" in said[1]
    assert "names of models" not in captured.err
