"""Carry out the steps of login and renewal flows.

:func:`run_flow` drives a flow: each step it yields is carried out by a callable of the :class:`World`, and
the result is sent back into it. A terminal, the management API and the unattended renewal differ only in the
world they hand in; what a world does not offer fails with :class:`~cliproxy.errors.LoginError`, thrown into
the flow like any other failed step.

**Coming back.** The wait for the browser is a race between the listener and whatever the owner pastes; the
loser is cancelled. The browser's request stays open until the flow has ended, so that its page can say how;
a flow that has questions or waits after that lets the browser go, as nobody looks at two places at once.

**Time.** Every step has its own limit; :func:`run_login` adds one for the whole. Cancelling closes the flow,
the listener and a waiting prompt; nothing is left behind.
"""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Final, Generic, Protocol, TypeVar

import trio
from attrs import define, evolve, field, frozen

from cliproxy.errors import Kind, LoginError, TransportError
from cliproxy.login.clients import ClientSource, OAuthClient, resolve
from cliproxy.login.code import parse_pasted
from cliproxy.login.keys import sign
from cliproxy.login.steps import (
    Ask,
    AskFile,
    AwaitCallback,
    Flow,
    Note,
    Now,
    OpenCallback,
    Pause,
    Persist,
    Send,
    Show,
    Sign,
    UseClient,
)
from cliproxy.login.steps import Step as LoginStep
from cliproxy.wire.http import HttpAnswer, HttpCall
from cliproxy.wire.jsontext import JsonValue
from cliproxy.wire.secret import Secret
from cliproxy.wire.veil import veil_of

T = TypeVar("T")

SEND_LIMIT_S: Final = 40.0
CALLBACK_LIMIT_S: Final = 300.0
LOGIN_LIMIT_S: Final = 900.0
SENT_KEPT: Final = 8
"""How many requests of a flow its error may speak of."""
MAX_FILE_BYTES: Final = 1024 * 1024
"""Of a file that the owner hands in; keys take a few thousand."""
PASTE_AFTER_S: Final = 15.0
"""How long the browser may take before the owner is offered to paste."""


class Callback(Protocol):
    """The listener of a login; see :class:`cliproxy.net.callback.CallbackListener`."""

    url: str

    async def wait(self) -> Mapping[str, str]: ...

    async def release(self) -> None: ...

    async def conclude(self, error: str | None) -> None: ...


async def _nobody_to_ask(ask: Ask) -> str:
    raise LoginError(f"{ask.key} is needed and there is nobody to ask", code="needs_owner")


async def _nobody_has_it(ask: AskFile) -> bytes:
    raise LoginError(f"{ask.key} is needed and there is nobody to ask", code="needs_owner")


async def _nobody_to_show(show: Show) -> None:
    raise LoginError(f"somebody has to open {show.url.partition('?')[0]}", code="needs_owner")


def _no_listener(step: OpenCallback) -> AbstractAsyncContextManager[Callback]:
    raise LoginError(f"nobody waits for a browser on port {step.port}", code="needs_owner")


FindClient = Callable[[ClientSource], Awaitable[OAuthClient]]
"""Finds the application to log in as; see :mod:`cliproxy.service.clients`."""


async def published_client(source: ClientSource) -> OAuthClient:
    """Return a vendor's published application, the only one known without looking anywhere."""
    await trio.lowlevel.checkpoint()
    return resolve(source, ())


async def _no_file(patch: Mapping[str, JsonValue]) -> None:
    raise LoginError(f"there is no file to keep {', '.join(sorted(patch))} in", code="not_saved")


@frozen(kw_only=True)
class World:
    """What the steps of a flow can be carried out with. The defaults are those of a process without an owner
    at hand."""

    send: Callable[[HttpCall], Awaitable[HttpAnswer]]
    """Raises :class:`~cliproxy.errors.LoginError` when there was no answer."""
    now: Callable[[], float]
    """Unix seconds."""
    note: Callable[[str], None]
    ask: Callable[[Ask], Awaitable[str]] = _nobody_to_ask
    ask_file: Callable[[AskFile], Awaitable[bytes]] = _nobody_has_it
    show: Callable[[Show], Awaitable[None]] = _nobody_to_show
    open_callback: Callable[[OpenCallback], AbstractAsyncContextManager[Callback]] = _no_listener
    paste: Callable[[], Awaitable[str]] | None = None
    """Waits for the owner to paste; an empty text means he does not want to."""
    persist: Callable[[Mapping[str, JsonValue]], Awaitable[None]] = _no_file
    client: FindClient = published_client


async def run_flow(flow: Flow[T], world: World) -> T:
    """Drive a flow to its end and return its product. Raises :class:`~cliproxy.errors.LoginError`."""
    async with AsyncExitStack() as stack:
        steps = _Steps(world, stack)
        try:
            outcome = await _drive(flow, steps)
        finally:
            flow.close()
        if isinstance(outcome, LoginError):
            steps.veil(outcome)
            await steps.conclude(f"{outcome.message.rstrip('.')}.")
            raise outcome
        await steps.conclude(None)
        return outcome.value


@frozen
class _Product(Generic[T]):
    """What a flow returned."""

    value: T


async def _drive(flow: Flow[T], steps: "_Steps") -> _Product[T] | LoginError:
    """Carry out one step after the other; return what the flow returned or raised."""
    await trio.lowlevel.checkpoint()
    try:
        step = next(flow)
        while True:
            try:
                reply = await steps.carry_out(step)
            except LoginError as exc:
                step = flow.throw(exc)
            else:
                step = flow.send(reply)
    except StopIteration as end:
        return _Product(end.value)
    except LoginError as exc:
        return exc


async def run_login(flow: Flow[T], world: World, limit_s: float = LOGIN_LIMIT_S) -> T:
    """Drive a login that a person takes part in, under a limit for the whole."""
    with trio.move_on_after(limit_s):
        return await run_flow(flow, world)
    raise LoginError(f"the login took longer than {limit_s / 60:.0f} minutes", code="timeout")


@define(eq=False)
class _Steps:
    """Carries out the steps of one flow."""

    world: World
    stack: AsyncExitStack
    callback: Callback | None = field(default=None, init=False)
    sent: list[HttpCall] = field(factory=list, init=False)
    has_come_back: bool = field(default=False, init=False)

    async def carry_out(self, step: LoginStep) -> object:  # noqa: C901, PLR0911, PLR0912 - an arm each
        """Return the result of a step; see :mod:`cliproxy.login.steps` for what each gives."""
        await trio.lowlevel.checkpoint()
        world = self.world
        if self.has_come_back and self.callback is not None and isinstance(step, Ask | Pause):
            await self.callback.release()
        match step:
            case Send():
                return await self._send(step.call)
            case Show():
                await world.show(step)
            case OpenCallback():
                self.callback = await self.stack.enter_async_context(world.open_callback(step))
                return self.callback.url
            case AwaitCallback():
                return await self._come_back()
            case Pause():
                await trio.sleep(step.seconds)
            case Ask():
                return await world.ask(step)
            case AskFile():
                return await world.ask_file(step)
            case Persist():
                await world.persist(step.patch)
            case UseClient():
                return await world.client(step.source)
            case Sign():
                # In a thread: the first use reads a large library, each one computes for a millisecond.
                return await trio.to_thread.run_sync(sign, step.key, step.message)
            case Note():
                world.note(step.text)
            case Now():
                return world.now()
        return None

    def veil(self, error: LoginError) -> None:
        """Take out of an error what it quotes of the requests: some services answer 200 to what they refuse,
        and repeat it."""
        for call in self.sent:
            veil = veil_of(call)
            error.message, error.hint = veil.text(error.message), veil.text(error.hint)
        error.args = (error.message,)

    async def _send(self, call: HttpCall) -> HttpAnswer:
        self.sent = [*self.sent, call][-SENT_KEPT:]
        with trio.move_on_after(SEND_LIMIT_S):
            return await self.world.send(call)
        raise LoginError(f"{_host(call.url)} did not answer within {SEND_LIMIT_S:.0f} s", code="timeout")

    async def _come_back(self) -> Mapping[str, str]:
        callback, paste = self.callback, self.world.paste
        assert callback is not None, "a flow opens its callback before it waits for it"
        found: list[Mapping[str, str]] = []
        with trio.move_on_after(CALLBACK_LIMIT_S):
            async with trio.open_nursery() as nursery:

                async def take(wait: Callable[[], Awaitable[Mapping[str, str]]]) -> None:
                    found.append(await wait())
                    nursery.cancel_scope.cancel(reason="the answer has come")

                nursery.start_soon(take, callback.wait, name="login: browser")
                if paste is not None:
                    nursery.start_soon(take, self._pasted, name="login: paste")
        if not found:
            raise LoginError(
                f"nobody came back from the browser within {CALLBACK_LIMIT_S / 60:.0f} minutes",
                code="timeout",
                hint="Start the login again, or paste the address the browser ends at.",
            )
        self.has_come_back = True
        return found[0]

    async def _pasted(self) -> Mapping[str, str]:
        paste = self.world.paste
        assert paste is not None
        while given := await paste():
            try:
                return parse_pasted(given)
            except LoginError as exc:
                self.world.note(f"{exc.message}; paste the whole address the browser ended at")
        await trio.sleep_forever()
        raise AssertionError("unreachable")

    async def conclude(self, error: str | None) -> None:
        """Tell the browser how it ended."""
        await trio.lowlevel.checkpoint()
        if self.callback is not None:
            await self.callback.conclude(error)


def _host(url: str) -> str:
    return url.partition("://")[2].partition("/")[0]


# --- parts of worlds ---------------------------------------------------------------------------------------


class Fetcher(Protocol):
    """Sends a request and returns the whole answer; see :class:`cliproxy.net.http.Upstreams`."""

    async def fetch(self, call: HttpCall) -> HttpAnswer: ...


def sender(fetcher: Fetcher, proxy_url: Secret | None = None) -> Callable[[HttpCall], Awaitable[HttpAnswer]]:
    """Return the ``send`` of a world: over the proxy given, a broken connection as a login error."""

    async def send(call: HttpCall) -> HttpAnswer:
        try:
            return await fetcher.fetch(call if proxy_url is None else evolve(call, proxy_url=proxy_url))
        except TransportError as exc:
            code = "timeout" if exc.kind is Kind.TIMEOUT else "unreachable"
            raise LoginError(
                exc.message,
                code=code,
                hint="Check the address, the proxy setting and the certificate authority.",
            ) from exc

    return send


Prompt = Callable[[Ask], Awaitable[str]]


def asker(
    options: Mapping[str, str], environ: Mapping[str, str], prompt: Prompt | None = None
) -> Callable[[Ask], Awaitable[str]]:
    """Return the ``ask`` of a world: flags first, then the environment, a prompt if there is one, the
    default."""

    async def ask(step: Ask) -> str:
        await trio.lowlevel.checkpoint()
        known = [options.get(step.key, ""), *(environ.get(name, "") for name in step.env)]
        value = next((value.strip() for value in known if value.strip()), "")
        if not value and prompt is not None:
            value = (await prompt(step)).strip()
        value = value or step.default
        if not value and step.required:
            # What has a variable is not always a flag: a secret must not stand in a command line.
            places = " or ".join(step.env or [f"-{step.key}"])
            raise LoginError(
                f"{step.prompt}: no value was given", code="missing_value", hint=f"Give it by {places}."
            )
        return value

    return ask


def file_reader(ask: Callable[[Ask], Awaitable[str]]) -> Callable[[AskFile], Awaitable[bytes]]:
    """Return the ``ask_file`` of a world whose owner names paths."""

    async def read(step: AskFile) -> bytes:
        path = await trio.Path(await ask(Ask(key=step.key, prompt=step.prompt))).expanduser()
        try:
            if (await path.stat()).st_size > MAX_FILE_BYTES:
                raise LoginError(f"{path} is too large to be what is asked for", code="bad_file")
            return await path.read_bytes()
        except OSError as exc:
            reason = exc.strerror or type(exc).__name__
            raise LoginError(f"{path} cannot be read: {reason}", code="bad_file") from exc

    return read


def after_a_while(
    prompt: Callable[[], Awaitable[str]], seconds: float = PASTE_AFTER_S
) -> Callable[[], Awaitable[str]]:
    """Return a ``paste`` that leaves the browser some time before it speaks up, the first time."""
    is_first = True

    async def paste() -> str:
        nonlocal is_first
        if is_first:
            is_first = False
            await trio.sleep(seconds)
        return await prompt()

    return paste


def tunnel_hint(port: int) -> str:
    """Say how a browser on another machine reaches the listener."""
    return (
        f"If the browser runs on another machine, forward the port first:\n"
        f"    ssh -L {port}:127.0.0.1:{port} user@this-machine\n"
        "or paste the address the browser ends at, even if it shows an error there."
    )
