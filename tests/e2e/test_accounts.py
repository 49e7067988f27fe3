"""Every account: login, file, a streamed answer, with the real program at the vendors' real addresses."""

import json
import stat
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest
from attrs import field, frozen

from support.accounts import Accounts, vendors


@frozen(kw_only=True)
class Case:
    """One account."""

    login: str
    """The flag."""
    file: str
    model: str
    environment: dict[str, str] = field(factory=dict)
    in_browser: bool = False
    options: tuple[str, ...] = ()


CASES = {
    "qwen": Case(
        login="-qwen-login",
        file="qwen-me@example.org.json",
        model="qwen3-coder-plus",
        options=("-email", "me@example.org"),
    ),
}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Accounts]:
    with vendors(tmp_path) as accounts:
        yield accounts


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_an_account_logs_in_and_serves(world: Accounts, case: Case) -> None:
    done = world.login(case.login, *case.options, in_browser=case.in_browser, **case.environment)
    assert done.code == 0, done.output
    assert world.files() == [case.file]
    path = world.auth_dir / case.file
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    secrets = [v for k, v in json.loads(path.read_text()).items() if k in ("access_token", "refresh_token")]
    assert secrets
    assert not [secret for secret in secrets if secret in done.output]
    with world.server() as server:
        client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)
        stream = client.chat.completions.create(
            model=case.model, messages=[{"role": "user", "content": "hello"}], stream=True
        )
        text = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
        assert text == "You said: hello"
    assert world.refusals() == []
