"""How accounts are said to be."""

import json
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from attrs import evolve

from cliproxy.cli import main
from cliproxy.cli.accounts import condition_of, facts_of, headline, lasting
from cliproxy.credentials.files import codec_table, decode_credential
from cliproxy.credentials.model import Credential, CredentialId, CredentialKind, TokenSlot
from cliproxy.providers import PROVIDERS
from cliproxy.service.tokens import AccountStatus, Condition, SlotStatus, account_of
from cliproxy.wire.secret import Secret

Capture = pytest.CaptureFixture[str]
FIXTURES = Path(__file__).parents[1] / "credentials" / "fixtures"
NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC).timestamp()
BY_KEY = {provider.key: provider for provider in PROVIDERS}
CODECS = codec_table(provider.codec for provider in PROVIDERS if provider.codec is not None)
READ = [path for path in sorted(FIXTURES.glob("*.json")) if json.loads(path.read_bytes())["type"] in CODECS]


def read(name: str) -> Credential:
    found = decode_credential(name, (FIXTURES / name).read_bytes(), CODECS)
    return found.credential


def status_of(credential: Credential) -> AccountStatus:
    return account_of(credential, BY_KEY[credential.provider].slots, NOW, 0.0).status(0.0)


def state(condition: Condition, **members: object) -> str:
    account = Credential(id=CredentialId("a.json"), provider="qwen", kind=CredentialKind.ACCOUNT)
    slot = SlotStatus(slot=TokenSlot.ACCOUNT, condition=condition, **members)  # type: ignore[arg-type]
    return condition_of(account, AccountStatus(credential=account.id, slots=(slot,)), NOW)


@pytest.mark.parametrize(
    ("name", "said", "facts"),
    [
        (
            "claude-v7.json",
            "logged in; the token is about to be renewed; good for 2 h 30 min, until 2026-11-21 10:30 UTC",
            "organization Jo's",
        ),
        (
            "kimi.json",
            "logged in; good for 2 h 30 min, until 2026-11-21 10:30 UTC",
            "",
        ),
        (
            "gemini.json",
            "logged in",
            "projects first-project, second-project",
        ),
        ("gitlab-pat.json", "logged in", "at https://gitlab.example.org"),
    ],
)
def test_accounts_as_their_files_have_them(name: str, said: str, facts: str) -> None:
    credential = read(name)
    assert condition_of(credential, status_of(credential), NOW).startswith(said)
    assert facts_of(credential, BY_KEY[credential.provider]) == facts
    assert headline(credential).startswith(f"{name}: {credential.provider} ")


@pytest.mark.parametrize("path", READ, ids=lambda path: path.stem)
def test_every_kind_of_account_has_a_state_and_no_secret_in_it(path: Path) -> None:
    credential = read(path.name)
    provider = BY_KEY[credential.provider]
    words = f"{condition_of(credential, status_of(credential), NOW)} {facts_of(credential, provider)}"
    if provider.slots:
        assert words.startswith("logged in")
    for member in provider.codec.tokens if provider.codec is not None else ():
        value = credential.data.get(member)
        assert not isinstance(value, str) or not value or value not in words


def test_a_plan_is_told() -> None:
    claims = "eyJodHRwczovL2FwaS5vcGVuYWkuY29tL2F1dGgiOnsiY2hhdGdwdF9wbGFuX3R5cGUiOiJ0ZWFtIn19"
    credential = evolve(read("codex.json"), data={"type": "codex", "id_token": f"e30.{claims}.x"})
    assert facts_of(credential, BY_KEY["codex"]) == "plan team"


def test_settings_that_matter_are_told() -> None:
    credential = evolve(read("qwen.json"), proxy_url=Secret("http://u:p@x"), prefix="team", priority=3)
    assert facts_of(credential, BY_KEY["qwen"]) == "a proxy of its own; prefix team; priority 3"


@pytest.mark.parametrize(
    ("condition", "members", "said"),
    [
        (Condition.ABSENT, {}, "logged in; a token is fetched when it is needed"),
        (Condition.FRESH, {}, "logged in"),
        (
            Condition.EXPIRED,
            {"expires_at": NOW - 60},
            "logged in; the token is renewed when it is needed; it ended at 2026-11-21 07:59 UTC",
        ),
        (Condition.NEEDS_LOGIN, {"reason": "refused"}, "needs login"),
        (Condition.FAILED, {"retry_in": 59.6}, "the token could not be renewed; tried again in 1 min"),
        (
            Condition.FAILED,
            {"retry_in": 30.0, "expires_at": NOW + 90},
            "the token could not be renewed; tried again in 30 s; good for 1 min 30 s, "
            "until 2026-11-21 08:01 UTC",
        ),
    ],
)
def test_states(condition: Condition, members: dict[str, object], said: str) -> None:
    assert state(condition, **members) == said


def test_who_is_switched_off_or_a_key() -> None:
    credential = read("qwen.json")
    assert condition_of(evolve(credential, disabled=True), status_of(credential), NOW) == "switched off"
    assert condition_of(evolve(credential, kind=CredentialKind.KEY), status_of(credential), NOW) == ""
    assert condition_of(credential, None, NOW) == ""


def test_new_tokens_that_are_only_in_memory_are_told() -> None:
    credential = read("kimi.json")
    status = evolve(status_of(credential), is_unsaved=True)
    assert condition_of(credential, status, NOW).endswith("; its new tokens could not be saved yet")


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (-5, "0 s"),
        (59.4, "59 s"),
        (60, "1 min"),
        (61, "1 min 1 s"),
        (3600, "1 h"),
        (3661, "1 h 1 min"),
        (86400 * 9 + 3600 * 5 + 59, "9 d 5 h"),
        (86400 + 59, "1 d"),
    ],
)
def test_times_are_told_in_two_units(seconds: float, said: str) -> None:
    assert lasting(seconds) == said


def test_check_notices_a_login_that_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """Without a network the token of the one cannot be renewed; that of the other is good."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text("auth-dir: auth\nproxy-url: http://127.0.0.1:9\n")
    (tmp_path / "config.yaml").chmod(0o600)
    auth = tmp_path / "auth"
    auth.mkdir(mode=0o700)
    tokens = {"access_token": "a" * 20, "refresh_token": "r" * 20}
    over = "2020-01-01T00:00:00Z"
    files = {
        "kimi-1.json": {"type": "kimi", **tokens, "expired": time.time() + 7230},
        "qwen-me.json": {"type": "qwen", "email": "me", **tokens, "expired": over},
        "qwen-you.json": {
            "type": "qwen",
            "email": "you",
            "access_token": "a",
            "expired": over,
        },
    }
    for name, data in files.items():
        (auth / name).write_text(json.dumps(data))
        (auth / name).chmod(0o600)
    assert main(["check"]) == 1
    lines = capsys.readouterr().out.splitlines()
    begin = next(number for number, line in enumerate(lines) if line.startswith("account "))
    assert lines[begin] == "account kimi-1.json: kimi kimi"
    assert lines[begin + 1].startswith("  logged in; good for 2 h, until ")
    assert lines[begin + 2] == "account qwen-me.json: qwen me"
    assert lines[begin + 3].startswith("  the token could not be renewed; tried again in ")
    assert lines[begin + 4].startswith("  error: chat.qwen.ai: the connection failed")
    assert lines[begin + 5] == "account qwen-you.json: qwen you"
    assert lines[begin + 6] == "  needs login; it ended at 2020-01-01 00:00 UTC"
    assert lines[begin + 7] == "  error: the credential holds no refresh token. Log in again."
