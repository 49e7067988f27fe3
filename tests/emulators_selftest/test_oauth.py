"""The emulated authorization server is strict: everything that a real one refuses is refused here."""

from collections.abc import Mapping
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from attrs import define, field

from emulators.oauth import CODE_LIFE_S, DEVICE_GRANT, App, Authority, Login, challenge_of
from emulators.values import Answer, Refusal, Request, dumps, loads

REDIRECT = "http://localhost:1455/callback"
VERIFIER = "v" * 43
PUBLIC = App(id="public", redirects=(REDIRECT,), scopes=("read", "write"))
SECRET = App(id="secret", secret="hush", redirects=(REDIRECT,), needs_pkce=False, needs_basic=True)
WITH_STATE = App(id="stateful", redirects=(REDIRECT,), takes_json=True, needs_state=True)
ANYWHERE = App(id="anywhere", redirects=("http://127.0.0.1/back",), any_port=True)


@define
class Time:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@define
class Server:
    """The authority, and a client that does everything right unless it is told otherwise."""

    time: Time = field(factory=Time)
    authority: Authority = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.authority = Authority(clock=self.time, apps=(PUBLIC, SECRET, WITH_STATE, ANYWHERE))
        self.authority.configure({"pending": 0})

    def authorize(self, **changes: str | None) -> Answer:
        """Open the authorization page."""
        query = {
            "client_id": "public",
            "response_type": "code",
            "redirect_uri": REDIRECT,
            "scope": "write read",
            "state": "s1",
            "code_challenge": challenge_of(VERIFIER),
            "code_challenge_method": "S256",
        }
        return self.authority.authorize(request("GET", f"/authorize?{urlencode(changed(query, changes))}"))

    def code(self, **changes: str | None) -> str:
        """What the browser brings back."""
        [location] = [value for name, value in self.authorize(**changes).headers if name == "location"]
        return parse_qs(urlsplit(location).query)["code"][0]

    def token(self, **changes: str | None) -> Login:
        """Ask the token endpoint."""
        form = {"client_id": "public", "grant_type": "authorization_code"}
        form |= {"redirect_uri": REDIRECT, "code_verifier": VERIFIER}
        return self.authority.token(form_request(changed(form, changes)))

    def renew(self, refresh: str, **changes: str | None) -> Login:
        """Ask for new tokens."""
        form = {"client_id": "public", "grant_type": "refresh_token", "refresh_token": refresh}
        return self.authority.token(form_request(changed(form, changes)))

    def device(self, **changes: str | None) -> str:
        """Ask for a device code."""
        form = {"client_id": "public", "scope": "read write", "code_challenge_method": "S256"}
        form["code_challenge"] = challenge_of(VERIFIER)
        answer = self.authority.start_device(form_request(changed(form, changes)), "https://v.example/device")
        return str(answer["device_code"])

    def poll(self, code: str) -> tuple[int, str]:
        """Ask whether the device code was entered: status, and the error if there is one."""
        form = {"client_id": "public", "grant_type": DEVICE_GRANT, "device_code": code}
        answer = self.authority.token_answer(form_request({**form, "code_verifier": VERIFIER}))
        body = loads(b"".join(piece for piece in answer.pieces if isinstance(piece, bytes)))
        return answer.status, body.get("error", "")


def changed(fields: Mapping[str, str], changes: Mapping[str, str | None]) -> dict[str, str]:
    """Fields with some of them replaced, and without those that are `None`."""
    return {name: value for name, value in {**fields, **changes}.items() if value is not None}


def request(method: str, target: str, body: bytes = b"", *headers: tuple[str, str]) -> Request:
    return Request(method=method, target=target, headers=headers, body=body)


def form_request(fields: Mapping[str, str], *headers: tuple[str, str]) -> Request:
    kind = ("content-type", "application/x-www-form-urlencoded")
    return request("POST", "/token", urlencode(fields).encode(), kind, *headers)


@pytest.fixture
def server() -> Server:
    return Server()


def refused(error: str, reason: str = ""):
    return pytest.raises(Refusal, match=rf"^{error}: .*{reason}")


# --- codes ----------------------------------------------------------------------------------------


def test_a_login_that_does_everything_right(server: Server) -> None:
    login = server.token(code=server.code())
    assert server.authority.owner_of(login.access) is login
    assert server.authority.body(login)["expires_in"] == 3600


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"client_id": "nobody"}, "invalid_client"),
        ({"redirect_uri": "http://localhost:1456/callback"}, "invalid_request"),
        ({"redirect_uri": f"{REDIRECT}/more"}, "invalid_request"),
        ({"redirect_uri": None}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"state": None}, "invalid_request"),
        ({"scope": "read"}, "invalid_scope"),
        ({"scope": "read write admin"}, "invalid_scope"),
        ({"scope": None}, "invalid_scope"),
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
    ],
)
def test_authorization_pages_that_are_not_shown(
    server: Server, changes: dict[str, str | None], error: str
) -> None:
    with refused(error):
        server.authorize(**changes)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"code": "guessed"}, "invalid_grant"),
        ({"code": None}, "invalid_grant"),
        ({"client_id": "nobody"}, "invalid_client"),
        ({"client_id": "anywhere"}, "invalid_grant"),
        ({"client_secret": "made up"}, "invalid_client"),
        ({"redirect_uri": "http://localhost:1456/callback"}, "invalid_grant"),
        ({"redirect_uri": None}, "invalid_grant"),
        ({"code_verifier": "w" * 43}, "invalid_grant"),
        ({"code_verifier": None}, "invalid_grant"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": None}, "unsupported_grant_type"),
    ],
)
def test_codes_that_are_not_exchanged(server: Server, changes: dict[str, str | None], error: str) -> None:
    """And the code is good for another attempt."""
    code = server.code()
    with refused(error):
        server.token(**{"code": code, **changes})
    assert server.token(code=code).access


def test_a_code_counts_once(server: Server) -> None:
    code = server.code()
    server.token(code=code)
    with refused("invalid_grant", "was used"):
        server.token(code=code)


def test_a_code_does_not_live_for_ever(server: Server) -> None:
    code = server.code()
    server.time.now += CODE_LIFE_S + 1
    with pytest.raises(Exception, match="expired_token"):
        server.token(code=code)


def test_an_owner_who_declines(server: Server) -> None:
    server.authority.configure({"decision": "deny"})
    [location] = [value for name, value in server.authorize().headers if name == "location"]
    assert location == f"{REDIRECT}?error=access_denied&state=s1"


def test_a_confidential_application_proves_itself_twice(server: Server) -> None:
    code = server.code(client_id="secret", scope=None, code_challenge=None)
    form = {"client_id": "secret", "grant_type": "authorization_code", "code": code}
    form |= {"redirect_uri": REDIRECT, "client_secret": "hush"}
    with refused("invalid_client", "basic"):
        server.authority.token(form_request(form))
    basic = ("authorization", "Basic c2VjcmV0Omh1c2g=")
    with refused("invalid_client", "secret is wrong"):
        server.authority.token(form_request({**form, "client_secret": "hash"}, basic))
    assert server.authority.token(form_request(form, basic)).app == "secret"


def test_the_form_of_the_body_is_the_applications(server: Server) -> None:
    code = server.code(client_id="stateful", scope=None)
    body = {"client_id": "stateful", "grant_type": "authorization_code", "code": code, "state": "s1"}
    body |= {"redirect_uri": REDIRECT, "code_verifier": VERIFIER}
    json_type = ("content-type", "application/json")
    with refused("invalid_request", "the body is of type"):
        server.authority.token(form_request(body))
    with refused("invalid_request", "the state differs"):
        server.authority.token(request("POST", "/token", dumps({**body, "state": "s2"}), json_type))
    with refused("invalid_request", "not JSON"):
        server.authority.token(request("POST", "/token", b"{", json_type))
    with refused("invalid_request", "is not POST"):
        server.authority.token(request("GET", "/token", b"", json_type))
    assert server.authority.token(request("POST", "/token", dumps(body), json_type)).app == "stateful"


def test_a_port_of_the_loopback_interface_may_be_any_where_that_is_registered(server: Server) -> None:
    changes = {"client_id": "anywhere", "scope": None}
    assert server.code(**changes, redirect_uri="http://127.0.0.1:40123/back")
    for other in ("http://127.0.0.1:40123/else", "https://127.0.0.1:1/back", "http://10.0.0.1:1/back"):
        with refused("invalid_request", "not registered"):
            server.code(**changes, redirect_uri=other)


# --- renewals -------------------------------------------------------------------------------------


def test_a_renewal_takes_back_both_tokens(server: Server) -> None:
    login = server.token(code=server.code())
    access, refresh = login.access, login.refresh
    server.renew(refresh)
    assert server.authority.owner_of(access) is None
    assert server.authority.owner_of(login.access) is login
    assert login.refresh != refresh


def test_a_refresh_token_that_is_used_twice_ends_the_login(server: Server) -> None:
    login = server.token(code=server.code())
    first = login.refresh
    server.renew(first)
    with refused("invalid_grant", "used before"):
        server.renew(first)
    with refused("invalid_grant"):
        server.renew(login.refresh)
    assert server.authority.owner_of(login.access) is None


def test_a_vendor_that_forgives_a_second_use(server: Server) -> None:
    server.authority.configure({"reuse_kills": False})
    login = server.token(code=server.code())
    first = login.refresh
    server.renew(first)
    with refused("invalid_grant", "used before"):
        server.renew(first)
    assert server.renew(login.refresh) is login


def test_a_vendor_that_does_not_rotate(server: Server) -> None:
    server.authority.configure({"rotates": False})
    login = server.token(code=server.code())
    access, refresh = login.access, login.refresh
    for _ in range(3):
        server.renew(refresh)
    assert login.refresh == refresh
    assert login.access != access


@pytest.mark.parametrize("changes", [{"client_id": "anywhere"}, {"refresh_token": "guessed"}])
def test_refresh_tokens_of_others(server: Server, changes: dict[str, str | None]) -> None:
    login = server.token(code=server.code())
    with refused("invalid_grant", "not known"):
        server.renew(login.refresh, **changes)
    assert server.renew(login.refresh) is login


def test_access_tokens_end(server: Server) -> None:
    server.authority.configure({"access_life": 60})
    login = server.token(code=server.code())
    server.time.now += 59
    assert server.authority.owner_of(login.access) is login
    server.time.now += 1
    assert server.authority.owner_of(login.access) is None
    assert server.authority.owner_of(None) is None
    assert server.renew(login.refresh) is login


def test_what_an_operator_can_do_to_all_logins(server: Server) -> None:
    login = server.token(code=server.code())
    server.authority.configure({"expire": True})
    assert server.authority.owner_of(login.access) is None
    server.renew(login.refresh)
    server.authority.configure({"revoke": True})
    with refused("invalid_grant"):
        server.renew(login.refresh)
    server.authority.reset()
    assert server.authority.state()["logins"] == []
    with pytest.raises(ValueError, match="unknown oauth setting"):
        server.authority.configure({"dance": True})


# --- devices --------------------------------------------------------------------------------------


def test_a_device_is_told_to_wait_then_to_slow_down_less(server: Server) -> None:
    server.authority.configure({"pending": 3, "slow_down": 1})
    code = server.device()
    assert [server.poll(code) for _ in range(4)] == [
        (400, "slow_down"),
        (400, "authorization_pending"),
        (400, "authorization_pending"),
        (200, ""),
    ]
    with refused("invalid_grant", "was used"):
        server.poll(code)


def test_a_device_whose_owner_declines(server: Server) -> None:
    server.authority.configure({"decision": "deny"})
    assert server.poll(server.device()) == (400, "access_denied")


def test_a_device_code_that_nobody_entered(server: Server) -> None:
    code = server.device()
    server.time.now += CODE_LIFE_S + 1
    assert server.poll(code) == (400, "expired_token")


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"client_id": "nobody"}, "invalid_client"),
        ({"scope": "read"}, "invalid_scope"),
        ({"code_challenge": None}, "invalid_request"),
    ],
)
def test_devices_that_get_no_code(server: Server, changes: dict[str, str | None], error: str) -> None:
    with refused(error):
        server.device(**changes)
