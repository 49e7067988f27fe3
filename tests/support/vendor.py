"""A provider without a network, for tests of commands: what its flows do is written in its credential files.

``{"type": "vendor", "token": "…", "says": […]}`` makes an account whose check returns these lines;
``"fails"`` makes it fail with this message; ``"hangs": true`` makes it never answer. Its login asks for what
it needs and does what ``--method`` says.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from cliproxy.catalog.model import ModelInfo
from cliproxy.credentials.files import CredentialCodec
from cliproxy.credentials.model import Credential, Token, TokenSlot
from cliproxy.errors import LoginError
from cliproxy.login.steps import Ask, AwaitCallback, Flow, Note, OpenCallback, Pause, Show
from cliproxy.providers.base import Login, LoginInputs, LoginResult, Provider, SlotPolicy
from cliproxy.wire.jsontext import flag, strings, text
from cliproxy.wire.secret import Secret

FLAG = "gitlab-token-login"
"""The command line knows its logins by heart, so this one goes by a name it knows."""
SECRET = "glpat-canary-0123456789abcdef"


def _asked(credential: Credential, _tokens: Mapping[TokenSlot, Token]) -> Flow[tuple[str, ...]]:
    yield Note("looking")
    if flag(credential.data, "hangs"):
        yield Pause(1e6)
    if text(credential.data, "fails"):
        raise LoginError(text(credential.data, "fails"), code="invalid_grant", hint="Log in again.")
    return tuple(strings(credential.data, "says"))


def _discovered(credential: Credential, tokens: Mapping[TokenSlot, Token]) -> Flow[tuple[ModelInfo, ...]]:
    said = yield from _asked(credential, tokens)
    return tuple(ModelInfo(id=name, display_name=name.title()) for name in said)


def _login(inputs: LoginInputs) -> Flow[LoginResult]:
    user = yield Ask(key="user", prompt="User", env=("VENDOR_USER",))
    assert isinstance(user, str)
    if user == "stranger":
        raise LoginError(f"nobody knows {SECRET}", code="denied", hint="Ask somebody.")
    if user == "browser":
        yield OpenCallback(port=1455, path="/callback")
        yield Show(url="https://vendor.example/authorize?state=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.abc")
        yield AwaitCallback()
    client = inputs.oauth_clients.get("vendor", {})
    return LoginResult(
        file_name="vendor-me.json",
        data={
            "type": "vendor",
            "token": SECRET,
            "note": "from the vendor",
            "client": client.get("client_id", ""),
        },
        label=user,
        notes=("Only half of it works.",),
    )


VENDOR = Provider(
    key="vendor",
    label="Vendor",
    contracts_for=lambda _credential, _model, _action: (),
    static_models=lambda _credential: (ModelInfo(id="static"),),
    discover=_discovered,
    check=_asked,
    slots={
        TokenSlot.ACCOUNT: SlotPolicy(
            initial=lambda credential: Token(value=Secret(text(credential.data, "token")))
        )
    },
    codec=CredentialCodec(type="vendor", provider="vendor", tokens=("token",)),
    logins=(Login(flag=FLAG, summary="Vendor", flow=_login),),
)


def account(directory: Path, name: str = "me", **members: object) -> Path:
    """Write a credential file, as private as it should be."""
    directory.mkdir(mode=0o700, exist_ok=True)
    path = directory / f"{name}.json"
    path.write_text(json.dumps({"type": "vendor", "token": "t", "email": f"{name}@example.org", **members}))
    path.chmod(0o600)
    return path
