"""What was sent in confidence does not come back in errors."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cliproxy.wire.http import Headers, HttpCall, MemoryCall
from cliproxy.wire.secret import Secret
from cliproxy.wire.veil import Veil, veil_of

TOKEN = "tok-en/with+marks="


def call(fields: dict[str, str], body: bytes = b"") -> HttpCall:
    return HttpCall(method="POST", url="https://upstream.example/v1", headers=Headers(fields), body=body)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Authorization", f"Bearer {TOKEN}"),
        ("x-api-key", TOKEN),
        ("X-Goog-Api-Key", TOKEN),
        ("PRIVATE-TOKEN", TOKEN),
        ("Cookie", TOKEN),
        ("X-Team-Secret", TOKEN),
    ],
)
def test_credentials_in_headers_are_masked(name: str, value: str) -> None:
    veil = veil_of(call({name: value}))
    assert veil.text(f"you sent {value}!") == f"you sent {value.replace(TOKEN, '***')}!"
    assert veil.data(json.dumps({"message": TOKEN}).encode()) == b'{"message": "***"}'


def test_a_slash_may_be_escaped() -> None:
    veil = veil_of(call({"Authorization": f"Bearer {TOKEN}"}))
    assert veil.data(rb'{"message":"tok-en\/with+marks="}') == b'{"message":"***"}'


def test_ordinary_headers_are_left_alone() -> None:
    veil = veil_of(call({"X-Team": "the-blue-team", "Content-Type": "application/json"}))
    assert veil.text("the-blue-team sent application/json") == "the-blue-team sent application/json"


def test_a_short_value_is_a_word() -> None:
    """Local servers are given keys like ``none``."""
    assert veil_of(call({"Authorization": "Bearer none"})).text("none of these") == "none of these"


def test_secrets_of_a_form_are_masked() -> None:
    body = b"refresh_token=rt-0123456789&client_secret=cs-0123456789%2F&client_id=app-12345"
    veil = veil_of(call({"Content-Type": "application/x-www-form-urlencoded"}, body))
    said = "no refresh_token rt-0123456789 of app-12345 with cs-0123456789/"
    assert veil.text(said) == "no refresh_token *** of app-12345 with ***"


def test_the_body_of_a_model_request_is_no_secret() -> None:
    fields = {"Content-Type": "application/json", "Authorization": f"Bearer {TOKEN}"}
    veil = veil_of(call(fields, b'{"token":"0123456789"}'))
    assert veil.text("0123456789") == "0123456789"


def test_secrets_of_a_request_for_tokens_in_json_are_masked() -> None:
    """It proves itself by nothing else."""
    body = {"grant_type": "refresh_token", "refresh_token": "rt-0123456789", "client_id": "app-12345"}
    fields = {"Content-Type": "application/json"}
    veil = veil_of(call(fields, json.dumps({**body, "n": 1, "token": ["0123456789"]}).encode()))
    assert veil.text("rt-0123456789 of app-12345, 0123456789") == "*** of app-12345, 0123456789"
    for other in (b"{", b"[]", json.dumps({**body, "pad": "x" * 20_000}).encode()):
        assert veil_of(call(fields, other)).text("rt-0123456789") == "rt-0123456789"


def test_the_password_of_a_proxy_is_masked() -> None:
    """As it is written in the address, as it is meant, and as it is sent."""
    url = Secret(" http://me:p%40ss%2Fword@proxy.example:8080 ")
    veil = veil_of(HttpCall(method="GET", url="https://x", proxy_url=url))
    basic = base64.b64encode(b"me:p@ss/word").decode()
    assert veil.text(f"p%40ss%2Fword p@ss/word, Basic {basic}") == "*** ***, Basic ***"


@pytest.mark.parametrize("url", ["", "direct", "http://proxy.example", "http://[bad"])
def test_a_proxy_without_a_password_has_nothing_to_hide(url: str) -> None:
    veil = veil_of(HttpCall(method="GET", url="https://x", proxy_url=Secret(url)))
    assert veil.text("http://proxy.example") == "http://proxy.example"


def test_header_fields_are_veiled_one_by_one() -> None:
    said = Headers([("x-echo", f"you are {TOKEN}"), ("x-echo", "ok"), ("etag", "1")])
    assert list(Veil([TOKEN]).headers(said)) == [("x-echo", "you are ***"), ("x-echo", "ok"), ("etag", "1")]


def test_a_call_inside_this_process_has_nothing_to_hide() -> None:
    assert veil_of(MemoryCall(target="demo")).text("anything at all") == "anything at all"


@given(st.lists(st.text(min_size=8, max_size=12), max_size=4), st.text(max_size=40))
def test_nothing_confidential_is_left(secrets: list[str], said: str) -> None:
    """Also when one secret is a part of another."""
    quoted = said + "".join(secrets)
    veiled = Veil(secrets).text(quoted)
    assert all(secret not in veiled for secret in secrets if "*" not in secret and secret[0] != secret[-1])
