"""Calls that are answered here."""

import pytest

from support.application import application
from support.asgi import client_of
from support.exchange import bottle

METADATA = {
    "ideType": "IDE_UNSPECIFIED",
    "platform": "PLATFORM_UNSPECIFIED",
    "pluginType": "GEMINI",
    "duetProject": "mine",
}


@pytest.mark.parametrize(
    ("method", "body", "member"),
    [
        ("loadCodeAssist", {"cloudaicompanionProject": "mine", "metadata": METADATA}, "currentTier"),
        ("onboardUser", {"tierId": "free-tier", "metadata": METADATA}, "done"),
        ("retrieveUserQuota", {"project": "mine"}, "buckets"),
        ("listExperiments", {"project": "mine", "metadata": METADATA}, "flags"),
        ("fetchAdminControls", {"project": "mine"}, "adminControlsApplicable"),
        ("setCodeAssistGlobalUserSetting", {"cloudaicompanionProject": "mine"}, "cloudaicompanionProject"),
    ],
)
async def test_what_the_gemini_cli_asks_besides(method: str, body: dict[str, object], member: str) -> None:
    world = bottle()
    async with client_of(application(world, keys=["sk-1"])) as client:
        response = await client("POST", f"/v1internal:{method}", body, {"authorization": "Bearer ya29.x"})
        assert (response.status, response.headers["content-type"]) == (200, "application/json")
        assert member in await response.json()
    assert world.upstreams.calls == []


async def test_reports_are_accepted_and_forgotten() -> None:
    async with client_of(application(bottle())) as client:
        response = await client("POST", "/v1internal:recordCodeAssistMetrics", {"metrics": []})
        assert await response.json() == {}


async def test_a_call_without_a_body() -> None:
    async with client_of(application(bottle())) as client:
        response = await client("GET", "/v1internal:getCodeAssistGlobalUserSetting")
        assert (await response.json())["freeTierDataCollectionOptin"] is False


async def test_a_body_that_is_no_object_is_refused_in_the_dialects_shape() -> None:
    async with client_of(application(bottle())) as client:
        response = await client(
            "POST", "/v1internal:loadCodeAssist", b"[]", {"content-type": "application/json"}
        )
        assert response.status == 400
        assert (await response.json())["error"]["status"] == "INVALID_ARGUMENT"


@pytest.mark.parametrize(("method", "path"), [("POST", "unheardOf"), ("GET", "loadCodeAssist")])
async def test_what_nobody_knows_is_not_found(method: str, path: str) -> None:
    async with client_of(application(bottle())) as client:
        response = await client(method, f"/v1internal:{path}", {} if method == "POST" else b"")
        assert response.status == 404
        assert (await response.json())["error"]["status"] == "NOT_FOUND"
