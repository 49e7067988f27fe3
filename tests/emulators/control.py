"""The `/__control` endpoints: how a test steers an emulator and asks what it has seen.

GET  log                      every request so far
POST reset                    forget log, script and state
POST forget                   forget log and script: what was issued stays good
POST script   [entry, …]      replace the queue (`?append=1` adds to it); faults.py has the vocabulary
GET, POST state {…}           look at or change settings; `clock_offset` moves the emulator's clock,
                              `log_bodies: false` keeps request bodies out of the log
POST release  {"count": 1}    let answers go that stopped at a hold
POST wait     {"requests": n, "finished": n, "disconnected": n, "holding": n, "events": n, "timeout": s}
                              answer with the log once all numbers are reached, or with 408
POST drop     {"how": "fin"}  close every other connection, idle ones included
"""

from collections.abc import Callable

import trio
from attrs import frozen

from emulators.engine import Engine
from emulators.faults import read_entry
from emulators.values import (
    Answer,
    Json,
    JsonObject,
    Request,
    as_list,
    as_object,
    as_text,
    json_answer,
    loads,
)

CONTROL_PREFIX = "/__control/"
DEFAULT_WAIT_S = 5.0


@frozen
class Caller:
    """Where a control request came from."""

    connection: int
    request: Request


async def handle_control(engine: Engine, request: Request, own: int) -> Answer:
    """Answer one control request from connection `own`; a mistake in it comes back as 400."""
    name = request.path.removeprefix(CONTROL_PREFIX)
    known = _HANDLERS.get((request.method, name))
    try:
        body = loads(request.body) if request.body else None
        if (request.method, name) == ("POST", "wait"):
            return await _wait(engine, body)
        if known is not None:
            return known(engine, body, Caller(own, request))
    except (ValueError, TypeError) as exc:
        return json_answer({"error": str(exc)}, 400)
    return json_answer({"error": f"no control endpoint {request.method} {name}"}, 404)


def _log(engine: Engine, _body: Json, _caller: Caller) -> Answer:
    return json_answer([record.as_json() for record in engine.records])


def _reset(engine: Engine, _body: Json, _caller: Caller) -> Answer:
    engine.reset()
    return json_answer({})


def _forget(engine: Engine, _body: Json, _caller: Caller) -> Answer:
    engine.forget()
    return json_answer({})


def _script(engine: Engine, body: Json, caller: Caller) -> Answer:
    entries = [read_entry(item) for item in as_list(body)]
    if "append" not in caller.request.query:
        engine.script.clear()
    engine.script += entries
    return json_answer({"queued": len(engine.script)})


def _state(engine: Engine, body: Json, _caller: Caller) -> Answer:
    patch = dict(as_object(body))
    offset = patch.pop("clock_offset", None)
    if isinstance(offset, int | float):
        engine.clock.offset = float(offset)
    log_bodies = patch.pop("log_bodies", None)
    if isinstance(log_bodies, bool):
        engine.log_bodies = log_bodies
    if patch:
        engine.family.configure(patch)
    own: JsonObject = {"clock_offset": engine.clock.offset, "log_bodies": engine.log_bodies}
    return json_answer({**engine.family.state(), **own})


def _release(engine: Engine, body: Json, _caller: Caller) -> Answer:
    count = as_object(body).get("count", 1)
    engine.release(count if isinstance(count, int) else 1)
    return json_answer({})


def _drop(engine: Engine, body: Json, caller: Caller) -> Answer:
    how = as_text(as_object(body).get("how")) or "fin"
    dropped = [number for number in engine.connections if number != caller.connection]
    for number in dropped:
        engine.connections[number](how)
    return json_answer({"dropped": len(dropped)})


async def _wait(engine: Engine, body: Json) -> Answer:
    wanted = as_object(body)
    timeout = wanted.get("timeout", DEFAULT_WAIT_S)
    names = [name for name in wanted if name != "timeout"]
    unknown = set(names) - set(_figures(engine))
    if unknown:
        msg = f"wait knows {sorted(_figures(engine))}, not {sorted(unknown)}"
        raise ValueError(msg)
    with trio.move_on_after(float(timeout) if isinstance(timeout, int | float) else DEFAULT_WAIT_S) as scope:
        while not all(_figures(engine)[name] >= _number(wanted[name]) for name in names):
            await engine.changed()
    seen: Json = [record.as_json() for record in engine.records]
    return json_answer(seen, 408 if scope.cancelled_caught else 200)


def _figures(engine: Engine) -> dict[str, int]:
    records = engine.records
    return {
        "requests": len(records),
        "finished": sum(record.finished_at is not None for record in records),
        "disconnected": sum(record.disconnected_at is not None for record in records),
        "events": sum(record.events for record in records),
        "holding": engine.holding,
    }


def _number(value: Json) -> float:
    if isinstance(value, int | float):
        return float(value)
    msg = f"expected a number, not {value!r}"
    raise ValueError(msg)


_Handler = Callable[[Engine, Json, Caller], Answer]
_HANDLERS: dict[tuple[str, str], _Handler] = {
    ("GET", "log"): _log,
    ("POST", "reset"): _reset,
    ("POST", "forget"): _forget,
    ("POST", "script"): _script,
    ("GET", "state"): _state,
    ("POST", "state"): _state,
    ("POST", "release"): _release,
    ("POST", "drop"): _drop,
}
