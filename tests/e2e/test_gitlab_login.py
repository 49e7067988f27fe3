"""GitLab's flows over real sockets, against the strict emulator in a process of its own."""

import random
import time
from collections.abc import Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from attrs import define, evolve, field

from cliproxy.credentials.files import to_bytes
from cliproxy.credentials.model import Credential, CredentialId, CredentialKind, TokenSlot
from cliproxy.dialects.base import Action
from cliproxy.dialects.gitlab_rest import SUGGESTIONS
from cliproxy.errors import LoginError, Scope
from cliproxy.ir.collect import Collector
from cliproxy.ir.context import ExchangeContext
from cliproxy.login.steps import OpenCallback, Show
from cliproxy.net.callback import open_listener
from cliproxy.net.http import Upstreams
from cliproxy.providers.base import Call, LoginInputs, LoginResult
from cliproxy.providers.gitlab import PROVIDER
from cliproxy.providers.gitlab.contracts import contracts_for
from cliproxy.providers.gitlab.discovery import discover
from cliproxy.service.logins import World, asker, run_flow, run_login, sender
from cliproxy.service.refresh import TokenTable
from cliproxy.service.run import persister, rereader
from cliproxy.service.tokens import Condition
from cliproxy.stores.file import FileStore
from cliproxy.wire.http import HttpAnswer, HttpCall
from cliproxy.wire.jsontext import JsonValue, dumps, loads_object
from cliproxy.wire.secret import Secret
from cliproxy.wire.sse import FrameParser
from support.emulator import Emulator, start_emulator

TOKEN_LOGIN, OAUTH_LOGIN = PROVIDER.logins
ACCOUNT, AGENT, GATEWAY = TokenSlot.ACCOUNT, TokenSlot.AGENT_GATEWAY, TokenSlot.GATEWAY


def inputs(emulator: Emulator, path: str = "", **options: str) -> LoginInputs:
    return LoginInputs(
        options={"gitlab-url": emulator.base_url + path, **options},
        random_token=lambda: random.Random(time.perf_counter()).randbytes(33).hex(),
        now=time.time,
    )


def world(upstreams: Upstreams, told: list[str], **changes: object) -> World:
    base = World(send=sender(upstreams, Secret("direct")), now=time.time, note=told.append, ask=asker({}, {}))
    return evolve(base, **changes)


async def log_in(emulator: Emulator, token: str, path: str = "") -> LoginResult:
    async with Upstreams() as upstreams:
        given = inputs(emulator, path, personal_access_token=token)
        return await run_login(TOKEN_LOGIN.flow(given), world(upstreams, []))


def credential_of(result: LoginResult) -> Credential:
    return Credential(
        id=CredentialId(result.file_name),
        provider="gitlab",
        kind=CredentialKind.ACCOUNT,
        proxy_url=Secret("direct"),
        data=result.data,
    )


# --- logins ------------------------------------------------------------------------------------------------


async def test_a_personal_token_logs_in_and_nothing_is_refused() -> None:
    async with start_emulator("gitlab") as emulator:
        result = await log_in(emulator, "glpat-good")
        assert result.notes == (
            "Open to this account: the agent platform and the Code Suggestions gateway.",
            "The model name gitlab-duo stands for claude-sonnet-4-5 at present.",
        )
        assert result.data["username"] == "duo.dev"
        assert result.data["model_name"] == "claude-sonnet-4-5"
        assert "claude-opus-4-8" in result.data["discovered_models"]
        assert await emulator.refusals() == []
        paths = [seen.path for seen in await emulator.log()]
    assert paths == [
        "/api/v4/user",
        "/api/v4/personal_access_tokens/self",
        "/api/v4/ai/third_party_agents/direct_access",
        "/api/v4/code_suggestions/direct_access",
        "/api/v4/groups",
        "/api/graphql",
    ]


async def test_an_installation_below_a_path() -> None:
    async with start_emulator("gitlab", relative_url="/gitlab") as emulator:
        result = await log_in(emulator, "glpat-good", "/gitlab")
        assert result.data["base_url"] == f"{emulator.base_url}/gitlab"
        assert await emulator.refusals() == []


@pytest.mark.parametrize(
    ("token", "code"),
    [
        ("glpat-expired", "expired"),
        ("glpat-revoked", "expired"),
        ("glpat-unknown", "expired"),
        ("glpat-noscope", "missing_scope"),
        ("glpat-features", "missing_scope"),
        ("glpat-seatless", "no_seat"),
    ],
)
async def test_tokens_that_will_not_do(token: str, code: str) -> None:
    async with start_emulator("gitlab") as emulator:
        with pytest.raises(LoginError) as caught:
            await log_in(emulator, token)
    assert caught.value.code == code
    assert token not in f"{caught.value.message} {caught.value.hint}"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"agent_platform": 403}, "the agent platform"),
        ({"agent_platform": 404}, "the agent platform"),
        ({"direct_connections": False}, "direct connections are switched off"),
        ({"agent_platform": 404, "direct_connections": False}, "only GitLab's text endpoints"),
        ({"agent_platform": 404, "direct_connections": False, "code_suggestions": 404}, "only GitLab's text"),
    ],
)
async def test_what_an_account_lacks_is_said_and_the_rest_is_used(settings: dict, words: str) -> None:
    async with start_emulator("gitlab", **settings) as emulator:
        result = await log_in(emulator, "glpat-good")
    assert any(words in note for note in result.notes)


async def test_an_instance_that_is_not_there() -> None:
    async with start_emulator("gitlab") as emulator:
        pass
    with pytest.raises(LoginError) as caught:
        await log_in(emulator, "glpat-good")
    assert caught.value.code == "unreachable"


async def free_port() -> int:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        return listener.socket.getsockname()[1]


@define
class Browser:
    """Opens the address it is shown and follows the redirect back."""

    nursery: trio.Nursery
    upstreams: Upstreams
    pages: list[HttpAnswer] = field(factory=list)

    async def show(self, step: Show) -> None:
        self.nursery.start_soon(self._visit, step.url)

    async def _visit(self, url: str) -> None:
        answer = await self._get(url)
        while answer.status == 302:
            answer = await self._get(answer.headers.get("location"))
        self.pages.append(answer)

    async def _get(self, url: str) -> HttpAnswer:
        return await self.upstreams.fetch(HttpCall(method="GET", url=url, proxy_url=Secret("direct")))


def listener(step: OpenCallback):
    return open_listener(step.port, step.path, host_in_url=step.host_in_url)


@asynccontextmanager
async def application(secret: str | None = None):
    port = await free_port()
    redirect = f"http://localhost:{port}/auth/callback"
    known = {"app": {"secret": secret, "redirect_uris": [redirect], "scopes": ["api", "read_user"]}}
    async with start_emulator("gitlab", applications=known) as emulator:
        yield emulator, {"oauth_client_id": "app", "oauth-callback-port": str(port)}


async def in_the_browser(
    emulator: Emulator, options: Mapping[str, str]
) -> tuple[LoginResult, list[HttpAnswer]]:
    async with Upstreams() as upstreams, trio.open_nursery() as nursery:
        browser = Browser(nursery, upstreams)
        chosen = world(upstreams, [], show=browser.show, open_callback=listener)
        result = await run_login(OAUTH_LOGIN.flow(inputs(emulator, **options)), chosen)
    return result, browser.pages


@pytest.mark.parametrize("secret", [None, "s3cret"])
async def test_an_oauth_application_logs_in_through_the_browser(secret: str | None) -> None:
    async with application(secret) as (emulator, options):
        given = {**options, "oauth_client_secret": secret} if secret else options
        result, (page,) = await in_the_browser(emulator, given)
        assert await emulator.refusals() == []
        assert result.data["access_token"] in (await emulator.state())["access_tokens"]
    assert page.status == 200
    assert b"Signed in" in page.body


async def test_a_denied_login_says_so_in_the_browser_too() -> None:
    async with application() as (emulator, options):
        await emulator.configure(authorize="deny")
        async with Upstreams() as upstreams, trio.open_nursery() as nursery:
            browser = Browser(nursery, upstreams)
            chosen = world(upstreams, [], show=browser.show, open_callback=listener)
            flow = OAUTH_LOGIN.flow(inputs(emulator, **options))
            code = ""
            try:
                await run_login(flow, chosen)
            except LoginError as exc:
                code = exc.code
    assert code == "denied"
    assert browser.pages[0].status == 400
    assert b"The login failed" in browser.pages[0].body


# --- tokens ------------------------------------------------------------------------------------------------


@define
class File:
    """The credential file, in memory."""

    credential: Credential

    async def persist(self, credential: Credential, patch: Mapping[str, JsonValue]) -> None:
        await trio.lowlevel.checkpoint()
        self.credential = evolve(self.credential, data={**self.credential.data, **patch})

    async def reread(self, credential: Credential) -> Credential:
        await trio.lowlevel.checkpoint()
        return self.credential


@asynccontextmanager
async def table_for(result: LoginResult):
    file = File(credential_of(result))
    async with Upstreams() as upstreams, trio.open_nursery() as nursery:
        table = TokenTable(
            nursery=nursery,
            providers={"gitlab": PROVIDER},
            fetcher=upstreams,
            persist=file.persist,
            reread=file.reread,
            wall=time.time,
            monotonic=trio.current_time,
            rng=random.Random(1),
        )
        yield table, file, upstreams
        nursery.cancel_scope.cancel()


async def test_gateway_tokens_are_fetched_kept_and_replaced() -> None:
    async with start_emulator("gitlab") as emulator:
        result = await log_in(emulator, "glpat-good")
        async with table_for(result) as (table, file, _):
            first = await table.ensure_fresh(file.credential, AGENT)
            assert await table.ensure_fresh(file.credential, AGENT) is first
            second = await table.refresh(file.credential, AGENT, first.version)
            assert second.value != first.value
            stored = await table.ensure_fresh(file.credential, GATEWAY)
            assert stored.value.reveal() == result.data["duo_gateway_token"]


async def test_a_dead_access_token_is_rotated_and_saved() -> None:
    async with application() as (emulator, options):
        result, _ = await in_the_browser(emulator, options)
        await emulator.configure(revoke="access")
        async with table_for(result) as (table, file, _):
            token = await table.ensure_fresh(file.credential, AGENT)
            assert token.value.reveal() in (await emulator.state())["gateway_tokens"]
            assert file.credential.data["refresh_token"] != result.data["refresh_token"]
            state = await emulator.state()
            assert state["refresh_tokens"] == [file.credential.data["refresh_token"]]
            again = await table.refresh(file.credential, ACCOUNT, 2)
            assert again.value.reveal() == file.credential.data["access_token"]


async def test_rotated_tokens_are_in_the_file_with_everything_the_owner_put_there(tmp_path: Path) -> None:
    """The real store, its lock included."""
    async with application() as (emulator, options), Upstreams(proxy_url=Secret("direct")) as upstreams:
        result, _ = await in_the_browser(emulator, options)
        await emulator.configure(revoke="access")
        store = FileStore(tmp_path / "config.yaml", tmp_path / "auth")
        await store.prepare()
        await store.write_credential(result.file_name, to_bytes({**result.data, "note": "mine"}))
        credential = await rereader(store, [PROVIDER])(evolve(credential_of(result), source=result.file_name))
        assert credential is not None
        async with trio.open_nursery() as nursery:
            table = TokenTable(
                nursery=nursery,
                providers={"gitlab": PROVIDER},
                fetcher=upstreams,
                persist=persister(store),
                reread=rereader(store, [PROVIDER]),
                exclusive=lambda known: store.lock(known.source),
                wall=time.time,
                monotonic=trio.current_time,
                rng=random.Random(1),
            )
            token = await table.ensure_fresh(credential, AGENT)
        state = await emulator.state()
        assert token.value.reveal() in state["gateway_tokens"]
        stored = await store.read_credential(result.file_name)
        assert stored is not None
        saved = loads_object(stored.content)
        assert state["refresh_tokens"] == [saved["refresh_token"]]
        assert saved["note"] == "mine"


async def test_a_revoked_refresh_token_needs_a_login() -> None:
    async with application() as (emulator, options):
        result, _ = await in_the_browser(emulator, options)
        await emulator.configure(revoke="access")
        await emulator.configure(revoke="refresh")
        async with table_for(result) as (table, file, _):
            with pytest.raises(LoginError) as caught:
                await table.ensure_fresh(file.credential, AGENT)
            assert caught.value.code == "invalid_grant"
            status = table.status(file.credential.id)
            assert status is not None
            assert status.needs_login


async def test_no_more_exchanges_than_gitlab_allows() -> None:
    async with start_emulator(
        "gitlab", limits={"direct_access": [10, 300], "agent_direct_access": [10, 300]}
    ) as emulator:
        result = await log_in(emulator, "glpat-good")
        async with table_for(result) as (table, file, _):
            token = await table.ensure_fresh(file.credential, AGENT)
            for _ in range(7):
                token = await table.refresh(file.credential, AGENT, token.version)
            with pytest.raises(LoginError) as caught:
                await table.refresh(file.credential, AGENT, token.version)
            assert caught.value.code == "rate_limited"
            status = table.status(file.credential.id)
            assert status is not None
            assert {slot.slot: slot.condition for slot in status.slots}[AGENT] is Condition.FAILED
        assert 429 not in [seen.status for seen in await emulator.log()]


# --- requests over every contract --------------------------------------------------------------------------

MESSAGES = [{"role": "user", "content": "Say hello."}]
BODIES = {
    "claude": {"max_tokens": 100, "messages": MESSAGES},
    "openai": {"messages": MESSAGES},
    "openai-response": {"input": "Say hello.", "store": False},
    "codex": {"input": [{"role": "user", "content": "Say hello."}], "store": False, "stream": True},
    "gitlab-chat": {"content": "Say hello.", "with_clean_history": True},
    "gitlab-suggestions": {
        "current_file": {"file_name": "a.py", "content_above_cursor": "x = ", "content_below_cursor": ""},
        "stream": False,
    },
}


async def send(
    table: TokenTable, upstreams: Upstreams, credential: Credential, model: str, contract
) -> HttpAnswer:
    token = await table.ensure_fresh(credential, contract.needs)
    body = dict(BODIES[contract.dialect])
    if not contract.dialect.startswith("gitlab"):
        body["model"] = model
    call = contract.prepare(
        Call(
            credential=credential,
            token=token,
            model=model,
            action=Action.GENERATE,
            body=dumps(body),
            stream=contract.streams_only,
        )
    )
    assert isinstance(call, HttpCall)
    return await upstreams.fetch(evolve(call, proxy_url=Secret("direct")))


@pytest.mark.parametrize("model", ["claude-sonnet-4-5-20250929", "gpt-5", "gpt-5-codex"])
async def test_every_way_to_a_model_works(model: str) -> None:
    async with start_emulator("gitlab") as emulator:
        result = await log_in(emulator, "glpat-good")
        async with table_for(result) as (table, file, upstreams):
            contracts = contracts_for(file.credential, model, Action.GENERATE)
            assert len(contracts) == 4
            for contract in contracts:
                reply = await send(table, upstreams, file.credential, model, contract)
                assert reply.is_success, (contract.id, reply.body)
        assert await emulator.refusals() == []


async def test_what_the_gateway_refuses_is_read_right() -> None:
    async with start_emulator("gitlab", refused_models=["claude-opus-4-8"]) as emulator:
        result = await log_in(emulator, "glpat-good")
        async with table_for(result) as (table, file, upstreams):
            agent = contracts_for(file.credential, "claude-opus-4-8", Action.GENERATE)[0]
            reply = await send(table, upstreams, file.credential, "claude-opus-4-8", agent)
            failure = agent.read_failure(reply.status, reply.headers, reply.body)
            assert failure is not None
            assert failure.scope is Scope.MODEL
            await emulator.configure(revoke="gateway")
            reply = await send(table, upstreams, file.credential, "claude-haiku-4-5-20251001", agent)
            failure = agent.read_failure(reply.status, reply.headers, reply.body)
            assert failure is not None
            assert failure.scope is Scope.CONTRACT
            assert reply.status == 401


@pytest.mark.parametrize("manner", ["sse", "cumulative"])
async def test_filling_in_the_middle_streams(manner: str) -> None:
    async with start_emulator("gitlab", completions_stream=manner) as emulator:
        result = await log_in(emulator, "glpat-good")
        async with table_for(result) as (table, file, upstreams):
            (fill,) = contracts_for(file.credential, "gitlab-duo", Action.FILL_IN_THE_MIDDLE)
            token = await table.ensure_fresh(file.credential, fill.needs)
            body = {"prompt": "def hello():\n    ", "suffix": "\n", "stream": True, "file_name": "a.py"}
            call = fill.prepare(
                Call(
                    credential=file.credential,
                    token=token,
                    model="gitlab-duo",
                    action=Action.FILL_IN_THE_MIDDLE,
                    body=dumps(body),
                    stream=True,
                )
            )
            assert isinstance(call, HttpCall)
            reply = await upstreams.fetch(evolve(call, proxy_url=Secret("direct")))
        assert await emulator.refusals() == []
        (seen,) = [seen for seen in await emulator.log() if seen.path.endswith("/completions")]
        assert seen.body["current_file"]["content_below_cursor"] == "\n"
    context = ExchangeContext(
        client_dialect="completions",
        upstream_dialect=SUGGESTIONS.id,
        requested_model="gitlab-duo",
        upstream_model="gitlab-duo",
        now=0.0,
        random_hex=lambda digits: "0" * digits,
    )
    decoder, collector, parser = SUGGESTIONS.stream_decoder(context), Collector(), FrameParser()
    for frame in [*parser.feed(reply.body), *parser.finish()]:
        for event in decoder.feed(frame):
            collector.feed(event)
    for event in decoder.finish():
        collector.feed(event)
    (part,) = collector.result().choices[0].parts
    assert part.text
    assert collector.result().model == "claude-sonnet-4-5"


async def test_the_models_of_an_account_are_found() -> None:
    async with start_emulator("gitlab") as emulator:
        result = await log_in(emulator, "glpat-good")
        async with table_for(result) as (table, file, upstreams):
            tokens = {ACCOUNT: await table.ensure_fresh(file.credential, ACCOUNT)}
            infos = await run_flow(discover(file.credential, tokens), world(upstreams, []))
        assert await emulator.refusals() == []
    names = {name for info in infos for name in (info.id, *info.aliases)}
    assert {"gitlab-duo", "claude-sonnet-4-5", "duo-chat-opus-4-8", "gpt-5-codex"} <= names


async def test_the_check_tells_what_there_is() -> None:
    async with start_emulator("gitlab", agent_platform=403) as emulator:
        result = await log_in(emulator, "glpat-good")
        async with table_for(result) as (table, file, upstreams):
            tokens = {ACCOUNT: await table.ensure_fresh(file.credential, ACCOUNT)}
            credential = evolve(file.credential, options={"project_path": "emulated/project"})
            assert PROVIDER.check is not None
            lines = await run_flow(PROVIDER.check(credential, tokens), world(upstreams, []))
    assert "signed in as duo.dev" in lines[0]
    assert "entitlement duo_pro" in lines[1]
    assert "not available" in lines[2]
    assert "assigned model claude-sonnet-4-5" in lines[3]
    assert lines[4] == "code suggestions for emulated/project: on"


def test_bodies_of_this_test_cover_every_dialect_of_the_contracts() -> None:
    credential = Credential(id=CredentialId("g"), provider="gitlab", kind=CredentialKind.ACCOUNT)
    models = ("claude-opus-5", "gpt-5", "gpt-5-codex")
    used = {c.dialect for model in models for c in contracts_for(credential, model, Action.GENERATE)}
    assert used == set(BODIES)
    assert loads_object(dumps(BODIES["claude"]))
