"""Log in to emulated vendors at their real addresses, with the real program.

    def test_something(world: Accounts) -> None:
        done = world.login("-iflow-login", in_browser=True)
        with world.server() as server: …

The fixture ``world`` gives each test a directory of its own and vendors that know nobody yet; their process
is one for all tests of a run.

The program runs as a process, too. Its way out is the emulators' proxy server and its trust is the emulators'
authority, both given as a user behind a company's proxy would give them.
"""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import httpx2 as httpx
import trio
from attrs import define, field, frozen

from support.emulator import Emulator, running_emulator
from support.server import ROOT, Server, running

LOGIN_LIMIT_S = 60.0
_ADDRESS = re.compile(r"^(https://\S+)$", re.MULTILINE)


@frozen
class Done:
    """A finished command."""

    code: int
    output: str


@define
class Accounts:
    """A directory of credentials, and the internet around it."""

    directory: Path
    emulator: Emulator
    authority: Path
    environment: dict[str, str] = field(factory=dict)
    configured: str | None = None
    """The proxy the configuration names, in place of the way out; empty: none."""

    @property
    def proxy(self) -> str:
        """The way out."""
        return self.proxy_by("http")

    def proxy_by(self, scheme: str) -> str:
        """The way out, in another language: `https` or `socks5`."""
        return f"{scheme}://127.0.0.1:{self.emulator.port}"

    @property
    def auth_dir(self) -> Path:
        """Where the credential files are."""
        return self.directory / "auth"

    def anew(self, directory: Path) -> "Accounts":
        """Another directory, and the same vendors, who have forgotten everybody and every setting."""
        trio.run(self.emulator.reset)
        return Accounts(directory, self.emulator, self.authority)

    def files(self) -> list[str]:
        """Names of the credential files."""
        return sorted(path.name for path in self.auth_dir.glob("*.json"))

    def configure(self, **settings: Mapping[str, Any]) -> None:
        """Change settings of the emulated vendors."""
        trio.run(lambda: self.emulator.configure(**settings))

    def script(self, *entries: dict[str, Any]) -> None:
        """Set what the next requests get."""
        trio.run(self.emulator.script, list(entries))

    def state(self) -> dict[str, Any]:
        """The state of the emulated vendors."""
        return trio.run(self.emulator.state)

    def refusals(self) -> list[str]:
        """Why requests were turned down."""
        return trio.run(self.emulator.refusals)

    def start(self, *arguments: str, **environment: str) -> "subprocess.Popen[str]":
        """Start a command of the program."""
        self.write_config()
        return subprocess.Popen(
            [sys.executable, "-m", "cliproxy", *arguments],
            cwd=self.directory,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=self.variables(**environment),
        )

    def login(self, *arguments: str, in_browser: bool = False, **environment: str) -> Done:
        """Run a login to its end. ``in_browser``: open the address it prints, as its owner would."""
        process = self.start(*arguments, "-no-browser", **environment)
        watchdog = threading.Timer(LOGIN_LIMIT_S, process.kill)
        watchdog.start()
        try:
            output = self._read(process, in_browser=in_browser)
            return Done(process.wait(), output)
        finally:
            watchdog.cancel()
            process.kill()
            process.communicate()

    def _read(self, process: "subprocess.Popen[str]", *, in_browser: bool) -> str:
        assert process.stdout is not None
        lines: list[str] = []
        for line in process.stdout:
            lines.append(line)
            found = _ADDRESS.match(line.strip())
            if in_browser and found:
                self.browse(found[1])
        return "".join(lines)

    def browse(self, url: str) -> httpx.Response:
        """Open an address as a browser would: the vendor over the proxy, the way back directly."""
        context = httpx.create_ssl_context()
        context.load_verify_locations(self.authority)
        with httpx.Client(proxy=self.proxy, verify=context, trust_env=False) as outside:
            answer = outside.get(url)
        assert answer.is_redirect, f"{url} answered {answer.status_code}: {answer.text}"
        with httpx.Client(trust_env=False) as here:
            return here.get(answer.headers["location"])

    def server(self, config: str = "") -> AbstractContextManager[Server]:
        """Run the server with these credentials."""
        return running(
            self.directory, config=f"{self.settings()}{config}", **self.variables(PYTHONPATH=str(ROOT))
        )

    def settings(self) -> str:
        """The lines of the configuration that lead out."""
        proxy = self.proxy if self.configured is None else self.configured
        return f"proxy-url: {proxy}\n" if proxy else ""

    def write_config(self) -> None:
        """Write the configuration that the commands read."""
        text = f"port: 0\nauth-dir: {self.auth_dir}\n{self.settings()}"
        (self.directory / "config.yaml").write_text(text, encoding="utf-8")

    def variables(self, **more: str) -> dict[str, str]:
        """The environment of the program."""
        kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        own = {"HOME": str(self.directory), "PYTHONPATH": str(ROOT), "SSL_CERT_FILE": str(self.authority)}
        return {**kept, **own, **self.environment, **more}


@contextmanager
def vendors(directory: Path, **settings: Any) -> Iterator[Accounts]:
    """Run the emulated vendors, and give a directory to log in from."""
    authority = directory / "authority.pem"
    with running_emulator("vendors", "--authority", str(authority), **settings) as emulator:
        yield Accounts(directory, emulator, authority)
