"""What comes of a login is kept, and the owner's settings with it."""

import json
from pathlib import Path

import pytest

from cliproxy.cli.desk import Desk
from cliproxy.errors import LoginError
from cliproxy.login.steps import Flow, Note
from cliproxy.providers.base import LoginInputs, LoginResult
from cliproxy.service.logins import World
from cliproxy.stores.file import FileStore
from cliproxy.wire.http import HttpAnswer, HttpCall


async def no_network(_call: HttpCall) -> HttpAnswer:
    raise AssertionError("nothing is sent here")


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def desk(tmp_path: Path, told: list[str]) -> Desk:
    return Desk(
        store=FileStore(tmp_path / "c.yaml", tmp_path / "auth"),
        directory=tmp_path / "auth",
        inputs=LoginInputs(random_token=lambda: "r" * 43, now=lambda: 0.0),
        world=World(send=no_network, now=lambda: 0.0, note=told.append),
    )


def result(**data: str) -> LoginResult:
    return LoginResult(file_name="x.json", data={"type": "v", **data})


async def test_a_result_is_kept_over_what_is_there(desk: Desk) -> None:
    path = await desk.keep(result(token="1", email="a@b"))
    assert await desk.keep(result(token="2", email="")) == path
    assert json.loads(path.read_text()) == {"type": "v", "token": "2", "email": "a@b"}
    assert await desk.known("x.json") == {"type": "v", "token": "2", "email": "a@b"}


async def test_what_cannot_be_read_is_not_known_and_is_replaced(desk: Desk) -> None:
    assert await desk.known("x.json") == {}
    path = await desk.keep(result(token="1"))
    path.write_text("{half")
    assert await desk.known("x.json") == {}
    await desk.keep(result(token="2"))
    assert await desk.known("x.json") == {"type": "v", "token": "2"}


async def test_a_login_is_carried_out_in_the_world(desk: Desk, told: list[str]) -> None:
    def flow() -> Flow[LoginResult]:
        yield Note("going on")
        return result()

    desk.tell("before")
    assert (await desk.log_in(flow())).file_name == "x.json"
    assert told == ["before", "going on"]


async def test_a_login_that_fails_says_so(desk: Desk) -> None:
    def flow() -> Flow[LoginResult]:
        yield Note("going on")
        raise LoginError("no", code="denied")

    with pytest.raises(LoginError):
        await desk.log_in(flow())
