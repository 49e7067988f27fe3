"""Model lists: one set of models, in the shape the client understands."""

import pytest

from cliproxy.config.entries import ClientKey
from cliproxy.wire.secret import Secret
from support.application import application
from support.asgi import client_of
from support.exchange import bottle

GOOGLE = {"x-goog-api-key": "x"}
CLAUDE = {"anthropic-version": "2023-06-01"}


@pytest.mark.parametrize(
    ("path", "headers", "key"),
    [
        ("/v1/models", {}, "object"),
        ("/v1/models", CLAUDE, "has_more"),
        ("/v1/models", {"user-agent": "claude-cli/2.1"}, "has_more"),
        ("/v1/models", GOOGLE, "models"),
        ("/v1/models", {"x-goog-api-client": "google-genai-sdk/1"}, "models"),
        ("/v1beta/models", {}, "models"),
    ],
)
async def test_the_shape_follows_the_client(path: str, headers: dict[str, str], key: str) -> None:
    async with client_of(application(bottle())) as client:
        listed = await (await client("GET", path, b"", headers)).json()
    assert key in listed


@pytest.mark.parametrize(
    ("path", "headers", "name"),
    [
        ("/v1/models/m", {}, "m"),
        ("/v1/models/m", CLAUDE, "m"),
        ("/v1beta/models/m", {}, "models/m"),
        ("/v1/models/models/m", GOOGLE, "models/m"),
    ],
)
async def test_one_model(path: str, headers: dict[str, str], name: str) -> None:
    async with client_of(application(bottle())) as client:
        shown = await (await client("GET", path, b"", headers)).json()
    assert name in (shown.get("id"), shown.get("name"))


@pytest.mark.parametrize("path", ["/v1/models/other", "/v1beta/models/other"])
async def test_an_unknown_model_is_not_found(path: str) -> None:
    async with client_of(application(bottle())) as client:
        assert (await client("GET", path)).status == 404


async def test_keys_are_asked_for() -> None:
    async with client_of(application(bottle(), keys=["sk-0123456789abcdef"])) as client:
        assert (await client("GET", "/v1/models")).status == 401
        assert (await client("GET", "/v1/models/m")).status == 401


@pytest.mark.parametrize(
    "limits", [{"models": ("other-*",)}, {"providers": ("q",)}, {"models": ("m",), "providers": ("q",)}]
)
@pytest.mark.parametrize(
    ("path", "headers"), [("/v1/models", {}), ("/v1/models", CLAUDE), ("/v1beta/models", {})]
)
async def test_a_key_sees_only_what_it_may_use(
    path: str, headers: dict[str, str], limits: dict[str, tuple[str, ...]]
) -> None:
    may_not, may = "sk-none-0123456789", "sk-some-0123456789"
    entries = [
        ClientKey(name="none", key=Secret(may_not), **limits),  # type: ignore[arg-type]
        ClientKey(name="some", key=Secret(may), models=("M*",), providers=("p",)),
    ]
    async with client_of(application(bottle(), entries=entries)) as client:
        for key, count in ((may_not, 0), (may, 1)):
            with_key = {**headers, "authorization": f"Bearer {key}"}
            listed = await (await client("GET", path, b"", with_key)).json()
            assert len(listed.get("data", listed.get("models"))) == count
            assert (await client("GET", f"{path}/m", b"", with_key)).status == (200 if count else 404)
