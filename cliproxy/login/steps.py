"""What a flow may ask the outside world to do.

A *flow* is a generator: it yields a step, receives the step's result, and returns its product at the end. It
reads like the vendor's description of the login and can be tested by a script of replies. The same flow
serves the command line, the management API and the background refresh; the runner decides how a step is
carried out (an ``Ask`` may be answered from a flag, the environment or a prompt) and enforces deadlines.

A runner throws :class:`~cliproxy.errors.LoginError` into the flow when a step cannot be carried out; a flow
raises it when the login failed, and nothing else.
"""

from collections.abc import Generator, Mapping
from typing import Any, TypeAlias, TypeVar

from attrs import field, frozen

from cliproxy.login.clients import ClientSource
from cliproxy.wire.http import HttpCall
from cliproxy.wire.jsontext import JsonValue
from cliproxy.wire.secret import Secret


@frozen
class Send:
    """Send a request. Result: :class:`~cliproxy.wire.http.HttpAnswer`, whatever its status."""

    call: HttpCall


@frozen(kw_only=True)
class Show:
    """Show the owner where to go, and a code to enter there if there is one. Result: ``None``.

    ``open_browser`` asks for a browser as well where there is one and the owner has not declined.
    """

    url: str
    code: str = ""
    text: str = ""
    open_browser: bool = True
    expires_in: float | None = None
    """Seconds until the vendor gives up waiting, where it says so."""


@frozen(kw_only=True)
class AwaitCallback:
    """Wait for the browser to come back to ``http://localhost:<port><path>``, or for the owner to paste that
    URL.

    Result: the query parameters as a mapping. The listener is already open when the preceding :class:`Show`
    is carried out: a flow yields :class:`OpenCallback` first.
    """

    path: str


@frozen(kw_only=True)
class OpenCallback:
    """Start listening on the loopback interface. Result: the redirect URL, with the port really bound."""

    port: int
    path: str
    host_in_url: str = "localhost"


@frozen
class Pause:
    """Wait. Result: ``None``."""

    seconds: float


@frozen(kw_only=True)
class Ask:
    """Ask the owner for a value. Result: text, never empty unless ``default`` is.

    The runner answers from, in this order: the flag or request parameter named ``key``, the environment
    variables ``env``, a prompt if there is a terminal, ``default``.
    """

    key: str
    prompt: str
    env: tuple[str, ...] = ()
    secret: bool = False
    default: str = ""
    required: bool = True


@frozen(kw_only=True)
class AskFile:
    """Ask the owner for a file. Result: its content, as bytes.

    The runner takes its path from the flag named ``key``, a prompt if there is a terminal, or the content
    itself from an upload.
    """

    key: str
    prompt: str


@frozen(kw_only=True)
class Persist:
    """Write members into the credential file before the next step. Result: ``None`` once they are on disk.

    Rotating refresh tokens are persisted before the new access token is used: a crash in between must not
    lose them.
    """

    patch: Mapping[str, JsonValue] = field(repr=False)


@frozen
class UseClient:
    """Ask for the registered application to log in as. Result: :class:`~cliproxy.login.clients.OAuthClient`.

    The runner knows where to look: see :func:`cliproxy.login.clients.resolve`.
    """

    source: ClientSource


@frozen(kw_only=True)
class Sign:
    """Sign a message with a private RSA key, as JSON web tokens want it (RS256). Result: the signature, as
    bytes; see :func:`cliproxy.login.keys.sign`."""

    key: Secret
    """In PEM form."""
    message: bytes


@frozen
class Note:
    """Tell the owner something. Result: ``None``."""

    text: str


@frozen
class Now:
    """Ask for the time, to turn a lifetime an issuer names into an end. Result: Unix seconds."""


Step: TypeAlias = (
    Send
    | Show
    | OpenCallback
    | AwaitCallback
    | Pause
    | Ask
    | AskFile
    | Persist
    | UseClient
    | Sign
    | Note
    | Now
)

T = TypeVar("T")

Flow: TypeAlias = Generator[Step, Any, T]
"""The value sent in depends on the step, which Python's types cannot say: this is the one ``Any`` of this
room."""
