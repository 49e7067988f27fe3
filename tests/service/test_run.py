"""Starting everything, keeping it running, taking it down: with real files and a real socket."""

import json
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
import trio

from cliproxy.catalog.model import ModelInfo
from cliproxy.config.environment import ConfigSource
from cliproxy.config.model import Config
from cliproxy.credentials.files import CredentialCodec
from cliproxy.credentials.model import Credential, Token, TokenSlot
from cliproxy.errors import CredentialError
from cliproxy.login.steps import Flow, Pause, Persist
from cliproxy.providers.base import Provider, SlotPolicy
from cliproxy.providers.demo import PROVIDER as DEMO
from cliproxy.providers.demo import demo_credential
from cliproxy.service.listen import Binding, open_sockets
from cliproxy.service.run import Options, opened, persister, rereader, run_server
from cliproxy.service.service import Service, proxy_of
from cliproxy.service.state import State, read_state
from cliproxy.wire.jsontext import text
from cliproxy.wire.secret import Secret
from support.lifespan import lived
from support.routes import credential

posix_only = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX systems")
ACCOUNT = TokenSlot.ACCOUNT


def initial(wanted: Credential) -> Token | None:
    value = text(wanted.data, "token")
    return Token(value=Secret(value), expires_at=1.0) if value else None


def renew(wanted: Credential, _tokens: Mapping[TokenSlot, Token]) -> Flow[Token]:
    """Takes a moment, and rotates the token."""
    yield Pause(1.0)
    value = text(wanted.data, "token") + "+"
    yield Persist(patch={"token": value})
    return Token(value=Secret(value), expires_at=10**10)


def discover(_wanted: Credential, _tokens: Mapping[TokenSlot, Token]) -> Flow[tuple[ModelInfo, ...]]:
    yield Pause(0.0)
    return (ModelInfo(id="found"),)


VENDOR = Provider(
    key="vendor",
    label="Vendor",
    contracts_for=lambda _credential, _model, _action: (),
    static_models=lambda _credential: (ModelInfo(id="static"),),
    slots={ACCOUNT: SlotPolicy(initial=initial, renew=renew)},
    discover=discover,
    codec=CredentialCodec(type="vendor", provider="vendor", tokens=("token",)),
)
FILE = {"type": "vendor", "token": "t", "note": "mine", "proxy_url": "direct"}


@pytest.fixture
async def state(tmp_path: Path) -> State:
    auth = tmp_path / "auth"
    auth.mkdir(mode=0o700)
    (auth / "me.json").write_text(json.dumps(FILE))
    (auth / "me.json").chmod(0o600)
    (tmp_path / "c.yaml").write_text("port: 0\nauth-dir: auth\n")
    (tmp_path / "c.yaml").chmod(0o600)
    source = ConfigSource(path=tmp_path / "c.yaml", explicit=True)
    return await read_state(source, tmp_path, [VENDOR, DEMO])


async def file_of(state: State) -> dict[str, Any]:
    found = await state.store.read_credential("me.json")
    assert found is not None
    return json.loads(found.content)


# --- files ----------------------------------------------------------------------------------------


async def test_new_tokens_are_merged_into_the_file_as_it_is_now(state: State) -> None:
    """An edit made meanwhile survives, and so do the owner's settings."""
    [me] = state.credentials
    await state.store.write_credential("me.json", json.dumps({**FILE, "note": "edited"}).encode())
    await persister(state.store)(me, {"token": "new", "note": "from the vendor"})
    assert await file_of(state) == {**FILE, "token": "new", "note": "edited"}


@pytest.mark.parametrize(("content", "said"), [(None, "the file is gone"), (b"{half", "not a JSON object")])
async def test_new_tokens_are_not_written_where_there_is_no_file_for_them(
    state: State, content: bytes | None, said: str
) -> None:
    [me] = state.credentials
    if content is None:
        await state.store.delete_credential("me.json")
    else:
        await state.store.write_credential("me.json", content)
    with pytest.raises(CredentialError, match=rf"me\.json: .*{said}"):
        await persister(state.store)(me, {"token": "new"})


async def test_a_credential_is_read_again(state: State) -> None:
    [me] = state.credentials
    reread = rereader(state.store, [VENDOR, DEMO])
    await state.store.write_credential("me.json", json.dumps({**FILE, "token": "other"}).encode())
    found = await reread(me)
    assert found is not None
    assert (found.id, found.data["token"]) == (me.id, "other")
    assert await reread(credential("key of the configuration", "vendor")) is None
    await state.store.delete_credential("me.json")
    assert await reread(me) is None


def test_an_empty_proxy_leaves_it_to_the_environment() -> None:
    assert proxy_of(Config()) is None
    assert proxy_of(Config(proxy_url=Secret("direct"))) == Secret("direct")


# --- the service ----------------------------------------------------------------------------------


async def test_a_service_has_what_was_read(state: State) -> None:
    extra = demo_credential()
    async with opened(state, [VENDOR, DEMO], [extra]) as service:
        assert [each.id for each in service.snapshots.current().credentials] == ["me.json", extra.id]
        assert "demo" in service.snapshots.current().registry
        status = service.tokens.status(state.credentials[0].id)
        assert status is not None
        assert [slot.slot for slot in status.slots] == [ACCOUNT]


async def test_a_renewal_outlives_the_request_and_the_service_waits_for_it(state: State) -> None:
    """A refresh token that was used up must not be lost because somebody stops the server."""
    [me] = state.credentials
    async with opened(state, [VENDOR, DEMO]) as service:
        with trio.move_on_after(0.2) as request:
            await service.tokens.ensure_fresh(me, ACCOUNT)
        assert request.cancelled_caught
    assert (await file_of(state))["token"] == "t+"


async def test_a_fault_in_the_block_still_closes_the_service(state: State) -> None:
    with pytest.RaisesGroup(RuntimeError):
        async with opened(state, [VENDOR, DEMO]):
            raise RuntimeError("x")


class Page:
    """An application that names the models."""

    def __init__(self, service: Service) -> None:
        self.service = service

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if await lived(scope, receive, send):
            return
        body = ",".join(self.service.snapshots.current().registry.names()).encode()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body, "more_body": False})


def options_of(state: State) -> Options:
    binding = Binding(("127.0.0.1",), 0, "")
    return Options(
        state=state,
        providers=[VENDOR, DEMO],
        binding=binding,
        make_app=Page,  # type: ignore[arg-type]
        sockets=open_sockets(binding),
        extra=(demo_credential(),),
    )


@posix_only
async def test_a_server_serves_what_it_finds_until_a_signal(state: State) -> None:
    with trio.fail_after(15):
        async with trio.open_nursery() as nursery, httpx.AsyncClient(trust_env=False) as client:
            [url] = await nursery.start(run_server, options_of(state))
            names = set[str]()
            while "found" not in names:
                names = set((await client.get(url)).text.split(","))
            assert "demo" in names
            signal.raise_signal(signal.SIGTERM)
