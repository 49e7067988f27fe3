"""``health``: ask the running server whether it is ready, as a container's health check does.

The configuration says where it listens, so that the check needs no tool and no address of its own. It goes to
this machine only; that is why a certificate, which is in another name, is not looked at.
"""

import ssl
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Final

import trio

from cliproxy.cli.exits import FAILURE, OK
from cliproxy.cli.flags import Arguments
from cliproxy.cli.output import complain_about, say
from cliproxy.cli.world import config_of, log_quietly
from cliproxy.config.model import Config
from cliproxy.errors import ConfigError, StoreError
from cliproxy.wire.jsontext import JsonError, loads_object, strings

LIMIT_S: Final = 5.0
LONGEST: Final = 64 * 1024
READY: Final = 200
EVERYWHERE: Final = frozenset({"", "0.0.0.0", "::"})  # noqa: S104 - compared, not bound


def run(arguments: Arguments) -> int:
    """Ask; 0 when the server is ready."""
    log_quietly(arguments)
    code = FAILURE
    try:
        code = _ask_as_configured(trio.run(config_of, arguments).loaded.config, arguments)
    except* (ConfigError, StoreError) as group:
        complain_about(group)
    return code


def _ask_as_configured(config: Config, arguments: Arguments) -> int:
    host = arguments.values.get("host", config.host).strip("[]")
    port = arguments.number("port") or config.port
    return _ask(config, "127.0.0.1" if host in EVERYWHERE else host, port)


def _ask(config: Config, host: str, port: int) -> int:
    connection = _connection(config, host, port)
    try:
        connection.request("GET", "/readyz")
        response = connection.getresponse()
        body = response.read(LONGEST)
    except (OSError, HTTPException) as exc:
        reason = getattr(exc, "strerror", None) or exc
        say(f"no answer from {host} port {port}: {reason}; is the server running there?")
        return FAILURE
    finally:
        connection.close()
    if response.status == READY:
        say("ready")
        return OK
    say(f"not ready: {', '.join(_reasons(body)) or f'status {response.status}'}")
    return FAILURE


def _connection(config: Config, host: str, port: int) -> HTTPConnection:
    if not config.tls.enable:
        return HTTPConnection(host, port, timeout=LIMIT_S)
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return HTTPSConnection(host, port, timeout=LIMIT_S, context=context)


def _reasons(body: bytes) -> list[str]:
    try:
        return strings(loads_object(body), "reasons")
    except JsonError:
        return []
