"""A process that renews an emulated account's tokens, beside others like it: `python -m support.renewer`.

    renewer renew COUNT     renew again and again, until COUNT of the renewals were its own
    renewer points          for each thing a renewal does with the system: do it in a process that is killed
                            there, and look what is left

It works in a directory prepared by `support.accounts`, on the one Qwen account in it. Every line it prints is
a JSON object.
"""

import json
import os
import signal
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2 as httpx
import trio
from attrs import asdict, define, frozen

from cliproxy.credentials.model import Credential, TokenSlot
from cliproxy.errors import LoginError
from cliproxy.login.pkce import from_random
from cliproxy.providers import PROVIDERS
from cliproxy.providers.qwen import CLIENT_ID, DEVICE
from cliproxy.service.logins import Fetcher
from cliproxy.service.run import opened
from cliproxy.service.service import Service
from cliproxy.service.state import config_source, read_state
from cliproxy.wire.http import HttpAnswer, HttpCall

NAME = "qwen-me@example.org.json"
VERIFIER = "v" * 43
LONG_AGO = "2020-01-01T00:00:00Z"


# --- the account ------------------------------------------------------------------------------------------


def log_in(directory: Path, proxy: str, authority: str) -> None:
    """Log in with a device code and write the file, as the program would in a few seconds more."""
    context = httpx.create_ssl_context()
    context.load_verify_locations(authority)
    with httpx.Client(proxy=proxy, verify=context, trust_env=False) as client:
        form = {"client_id": CLIENT_ID, "scope": DEVICE.scope, "code_challenge_method": "S256"}
        form["code_challenge"] = from_random(VERIFIER).challenge
        device = client.post(DEVICE.device_url, data=form).raise_for_status().json()
        form = {"client_id": CLIENT_ID, "device_code": device["device_code"], "code_verifier": VERIFIER}
        form["grant_type"] = "urn:ietf:params:oauth:grant-type:device_code"
        tokens = client.post(DEVICE.token_url, data=form).raise_for_status().json()
    auth = directory / "auth"
    auth.mkdir(mode=0o700, exist_ok=True)
    path = auth / NAME
    kept = {name: tokens[name] for name in ("access_token", "refresh_token", "resource_url")}
    data = {"type": "qwen", "email": "me@example.org", "expired": LONG_AGO, "mine": "kept", **kept}
    path.write_text(json.dumps(data))
    path.chmod(0o600)


@frozen
class Left:
    """What a credential file looks like."""

    is_whole: bool
    """It is JSON, has both tokens and what the owner put there, and is private."""
    refresh_token: str = ""

    @classmethod
    def of(cls, directory: Path) -> "Left":
        """Look at the file."""
        path = directory / "auth" / NAME
        try:
            data = json.loads(path.read_bytes())
        except (OSError, ValueError):
            return cls(is_whole=False)
        has_all = bool(data.get("access_token")) and data.get("mine") == "kept"
        is_private = stat.S_IMODE(path.stat().st_mode) == 0o600
        return cls(has_all and is_private, data.get("refresh_token", ""))


# --- renewing ---------------------------------------------------------------------------------------------


@define
class Counting:
    """Counts what is asked of the vendor."""

    inner: Fetcher
    count: int = 0

    async def fetch(self, call: HttpCall) -> HttpAnswer:
        """Ask."""
        self.count += b"grant_type=refresh_token" in call.body
        return await self.inner.fetch(call)


async def with_service(work: Callable[[Service, Credential], Any]) -> Any:
    """Run something with the service and its account."""
    directory = Path.cwd()
    state = await read_state(config_source("", {}, directory), directory, PROVIDERS)
    async with opened(state, PROVIDERS) as service:
        return await work(service, service.snapshots.current().credentials[0])


@define
class Tally:
    """What a process has done."""

    own: int = 0
    taken_over: int = 0
    error: str = ""
    reason: str = ""


async def renew(count: int) -> Tally:
    """Renew until `count` renewals were our own, or one fails."""
    tally = Tally()

    async def work(service: Service, credential: Credential) -> None:
        counting = service.tokens.fetcher = Counting(service.tokens.fetcher)
        version = 1
        while tally.own < count:
            before = counting.count
            token = await service.tokens.refresh(credential, TokenSlot.ACCOUNT, version)
            assert token.version > version
            version = token.version
            if counting.count > before:
                tally.own += 1
            else:
                tally.taken_over += 1
            print(json.dumps({"token": token.version}), flush=True)
            await trio.sleep(service.rng.uniform(0.0, 0.01))

    try:
        await with_service(work)
    except* LoginError as group:
        [error] = group.exceptions
        assert isinstance(error, LoginError)
        tally.error, tally.reason = error.code, error.explained
    return tally


# --- being killed -----------------------------------------------------------------------------------------


class Reaper:
    """Kills this process at the nth thing that it does with the network, the lock or the directory."""

    def __init__(self, number: int, report: int) -> None:
        self.left = number
        self.report = report
        self.place = str(Path.cwd() / "auth")

    def __call__(self, event: str, arguments: tuple[object, ...]) -> None:
        places = [str(each) for each in arguments if isinstance(each, str | Path)]
        named = [os.path.basename(place) for place in places if place.startswith(self.place)]
        if not named and event not in {"fcntl.flock", "socket.connect"}:
            return
        self.left -= 1
        if self.left == 0:
            os.write(self.report, f"{event} {' '.join(named)}".strip().encode())
            os.kill(os.getpid(), signal.SIGKILL)


def in_child(number: int) -> tuple[Tally | None, str]:
    """Renew once in another process, which is killed at a point; 0 lets it live. Returns what it has to say,
    and the point at which it died."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - until the end of this process
        tally = trio.run(_armed, number, writing)
        os.write(writing, json.dumps(asdict(tally)).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read().decode()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return None, said
    return Tally(**json.loads(said)), ""


async def _armed(number: int, report: int) -> Tally:
    if number:
        sys.addaudithook(Reaper(number, report))
    return await renew(1)


def points(directory: Path, proxy: str, authority: str) -> None:
    """Go through all points, until a renewal gets through without reaching the next."""
    for number in range(1, 200):
        log_in(directory, proxy, authority)
        before = Left.of(directory)
        victim, place = in_child(number)
        after = Left.of(directory)
        survivor, _ = in_child(0)
        assert survivor is not None
        line = {
            "place": place,
            "is_whole": before.is_whole and after.is_whole and Left.of(directory).is_whole,
            "is_new": after.refresh_token != before.refresh_token,
            **asdict(survivor),
        }
        print(json.dumps(line), flush=True)
        if victim is not None:
            return
    raise AssertionError("a renewal has more points than expected")


def main() -> None:
    """Do what the arguments say."""
    match sys.argv[1:]:
        case ["renew", count]:
            print(json.dumps(asdict(trio.run(renew, int(count)))), flush=True)
        case ["points", proxy]:
            points(Path.cwd(), proxy, os.environ["SSL_CERT_FILE"])
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
