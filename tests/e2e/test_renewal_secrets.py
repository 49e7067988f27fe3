"""What vendors quote of our tokens when they refuse them is neither logged nor shown, at any level."""

import json
import logging
import os
from pathlib import Path
from typing import Any

import pytest
import trio

from cliproxy.credentials.model import CredentialId, TokenSlot
from cliproxy.errors import LoginError
from cliproxy.providers import PROVIDERS
from cliproxy.service.run import opened
from cliproxy.service.state import config_source, read_state
from support.emulator import Emulator, start_emulator
from support.renewer import NAME, log_in

REFRESH, ACCESS = "refresh-canary-tweettweet", "access-canary-tweettweet"
NEW = "new-canary-tweettweettweet"
QUOTED = f"the token {REFRESH} is no good"
ANSWERS: list[dict[str, Any]] = [
    {"status": 400, "json": {"error": "invalid_request", "error_description": QUOTED}},
    {"status": 200, "json": {"error": "invalid_request", "error_description": f"no {REFRESH}"}},
    {"status": 200, "json": {"error": {"code": REFRESH, "message": f"no {REFRESH}"}}},
    {"status": 401, "json": {"error": "invalid_client", "error_description": f"no {REFRESH}"}},
    {"status": 429, "json": {"error": {"message": f"slow down, {REFRESH}"}}},
    {"status": 500, "text": f"<html>{REFRESH}</html>", "headers": {"content-type": "text/html"}},
    {"status": 200, "text": f"refresh_token={REFRESH}"},
    {"status": 200, "json": {"access_token": "", "refresh_token": NEW}},
    {"status": 200, "json": {"access_token": NEW, "refresh_token": f"{NEW}2", "expires_in": 3600}},
]


async def prepared(emulator: Emulator, place: Path) -> None:
    proxy = f"http://127.0.0.1:{emulator.port}"
    await trio.to_thread.run_sync(log_in, place, proxy, os.environ["SSL_CERT_FILE"])
    (place / "config.yaml").write_text(f"auth-dir: {place / 'auth'}\nproxy-url: {proxy}\n")
    path = place / "auth" / NAME
    path.write_text(
        json.dumps({**json.loads(path.read_text()), "refresh_token": REFRESH, "access_token": ACCESS})
    )


async def test_no_token_reaches_the_log_or_the_owner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    said: list[str] = []
    arguments = ("--authority", str(tmp_path / "authority.pem"))
    async with start_emulator("vendors", *arguments, qwen={"oauth": {"pending": 0}}) as emulator:
        await prepared(emulator, tmp_path)
        await emulator.script([{"raw": answer, "unchecked": True} for answer in ANSWERS])
        state = await read_state(config_source("", {}, tmp_path), tmp_path, PROVIDERS)
        async with opened(state, PROVIDERS) as service:
            [credential] = service.snapshots.current().credentials
            for _ in ANSWERS[:-1]:
                with pytest.raises(LoginError) as caught:
                    await service.tokens.ensure_fresh(credential, TokenSlot.ACCOUNT)
                said += [str(caught.value), caught.value.explained, repr(caught.value)]
                said.append(repr(service.tokens.status(CredentialId(NAME))))
                service.tokens.forgive(credential.id)
            token = await service.tokens.ensure_fresh(credential, TokenSlot.ACCOUNT)
            said += [repr(token), repr(service.tokens.status(CredentialId(NAME)))]
    assert token.value.reveal() == NEW
    assert "is no good" in "".join(said), "what is said besides is not lost"
    assert caplog.text.count("renewal failed") == len(ANSWERS) - 1
    for output in (*said, caplog.text):
        assert "canary" not in output
