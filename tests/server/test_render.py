"""Errors and headers on their way to the client."""

import pytest

from cliproxy.dialects import by_id
from cliproxy.errors import BadRequest, Kind, NativeBody, NothingReady
from cliproxy.server.render import error_response, forwarded
from cliproxy.wire.http import Headers


@pytest.mark.parametrize(("dialect", "shows"), [("claude", True), ("openai", False)])
async def test_an_upstreams_own_error_is_for_its_own_dialect(dialect: str, shows: bool) -> None:
    error = BadRequest("x", native=NativeBody("claude", b'{"own":1}'))
    body = await error_response(error, by_id(dialect)).get_data(as_text=False)
    assert (body == b'{"own":1}') is shows


@pytest.mark.parametrize(("dialect", "status"), [("gemini", 503), ("gemini-cli", 503), ("claude", 529)])
async def test_a_status_that_an_api_does_not_know_is_not_sent(dialect: str, status: int) -> None:
    response = error_response(NothingReady("x", kind=Kind.OVERLOADED), by_id(dialect))
    assert response.status_code == status
    if dialect != "claude":
        assert (await response.get_json())["error"]["code"] == status


@pytest.mark.parametrize(("seconds", "header"), [(0.2, "1"), (7.01, "8"), (30.0, "30")])
def test_the_time_to_wait_is_rounded_up(seconds: float, header: str) -> None:
    response = error_response(NothingReady("x", retry_after=seconds), by_id("openai"))
    assert response.headers["Retry-After"] == header


def test_headers_about_one_connection_or_encoding_stay_behind() -> None:
    headers = Headers(
        {
            "Content-Type": "x",
            "Content-Encoding": "gzip",
            "Connection": "X-Hop, close",
            "X-Hop": "1",
            "Set-Cookie": "a=b",
            "Proxy-Auth": "x",
            "X-Request": "kept",
        }
    )
    assert forwarded(headers) == {"X-Request": "kept"}
