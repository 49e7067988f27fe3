"""The engine over real sockets: what faults look like on the wire, and what the log knows about clients."""

import hashlib
import json
import ssl
import time

import pytest
import trio
import trustme

from support.emulator import EmulatorError, start_emulator

BODY = {"model": "gpt-4o", "stream": True, "messages": [{"role": "user", "content": "long 40"}]}


@pytest.fixture
async def emulator():
    async with start_emulator("openai") as running:
        yield running


def raw_request(body=BODY, path="/v1/chat/completions", **headers):
    data = json.dumps(body).encode()
    lines = [f"POST {path} HTTP/1.1", "host: x", "authorization: Bearer sk-test"]
    lines += ["content-type: application/json", f"content-length: {len(data)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + data


async def opened(emulator, request=None):
    stream = await trio.open_tcp_stream("127.0.0.1", emulator.port)
    await stream.send_all(request or raw_request(connection="close"))
    return stream


async def read_all(emulator, request=None):
    """Everything up to the end, and how it ended."""
    async with await opened(emulator, request) as stream:
        parts = []
        try:
            while part := await stream.receive_some(1024 * 1024):
                parts.append(part)
        except trio.BrokenResourceError:
            return b"".join(parts), "rst"
        return b"".join(parts), "fin"


async def read_until(stream, mark):
    data = b""
    while mark not in data:
        data += await stream.receive_some(4096)
    return data


FAULTS_ON_THE_WIRE = [
    # name, how the connection ends, what the client sees, what it does not see
    ("close_before_head", "fin", b"", b"HTTP"),
    ("reset_before_head", "rst", b"", b"HTTP"),
    ("head_then_reset", "rst", b"HTTP/1.1 200", b"data:"),
    ("half_event_fin", "fin", b"data: ", b"word0"),
    ("half_event_end", "fin", b"0\r\n\r\n", b"word0"),
    ("half_utf8_rst", "rst", b"caf\xc3", b"caf\xc3\xa9"),
    ("json_error_200", "fin", b'{"error":', b"data:"),
    ("empty_200", "fin", b"0\r\n\r\n", b"data:"),
    ("html_200", "fin", b"<!DOCTYPE html>", b"data:"),
    ("no_terminal", "fin", b"0\r\n\r\n", b"[DONE]"),
    ("two_terminals", "fin", b"[DONE]", b"error"),
    ("broken_event", "fin", b"[DONE]", b"server had an error"),
    ("gzip", "fin", b"content-encoding: gzip", b"data:"),
    ("wrong_content_type", "fin", b"content-type: text/plain", b"event-stream"),
    ("error_event", "fin", b"server had an error", b"[DONE]"),
    ("not_http", "fin", b"this is not HTTP", b"HTTP/1.1"),
    ("bad_chunk", "fin", b"not a chunk", b"[DONE]"),
    ("redirect", "fin", b"HTTP/1.1 302", b"data:"),
]


async def test_faults_on_the_wire(emulator):
    """All in one process: starting one for each would take most of the time."""
    for fault, ending, has, has_not in FAULTS_ON_THE_WIRE:
        await emulator.script([{"fault": fault}])
        data, ended = await read_all(emulator)
        assert (fault, ended) == (fault, ending)
        assert has in data, fault
        assert has_not not in data, fault


async def test_large_events_and_bodies_arrive_whole(emulator):
    await emulator.script([{"fault": "huge_event"}, {"fault": "huge_body"}])
    event, _ = await read_all(emulator)
    assert max(map(len, event.split(b"\n\n"))) > 1024 * 1024
    body, _ = await read_all(emulator, raw_request({**BODY, "stream": False}, connection="close"))
    assert len(body) > 64 * 1024 * 1024


async def test_a_client_that_leaves_is_noticed_while_the_emulator_is_silent(emulator):
    await emulator.script([{"fault": name} for name in ("silence", "head_then_silence", "stall")])
    for count in (1, 2, 3):
        stream = await opened(emulator)
        await emulator.wait(requests=count)
        left_at = time.monotonic()
        await stream.aclose()
        log = await emulator.wait(disconnected=count)
        assert 0 <= log[-1].disconnected_at - left_at < 1.0
    assert {seen.disconnect for seen in log} <= {"fin", "rst"}
    assert [seen.events for seen in log] == [0, 0, 2]


async def test_a_client_that_leaves_after_the_terminal_event_has_not_left_early(emulator):
    stream = await opened(emulator)
    await read_until(stream, b"[DONE]")
    await stream.aclose()
    [seen] = await emulator.wait(finished=1)
    assert seen.disconnected_at is None


async def test_holds_make_the_middle_of_a_stream_observable(emulator):
    await emulator.script([{"hold_after": 3}])
    async with await opened(emulator) as stream:
        await emulator.wait(holding=1)
        first = await read_until(stream, b"word1 ")
        assert b"word2 " not in first
        await emulator.release()
        await read_until(stream, b"[DONE]")
    [seen] = await emulator.wait(finished=1)
    assert seen.events == 43


async def test_a_paced_stream_takes_its_time(emulator):
    await emulator.script([{"pace": 0.01}])
    await read_all(emulator)
    [seen] = await emulator.log()
    assert seen.finished_at - seen.first_event_at > 0.01 * 41


async def test_a_connection_is_kept_and_can_be_dropped_while_idle(emulator):
    async with await opened(emulator, raw_request({**BODY, "stream": False})) as stream:
        await read_until(stream, b'"system_fingerprint"')
        await stream.send_all(raw_request({**BODY, "stream": False}))
        await read_until(stream, b'"system_fingerprint"')
        log = await emulator.log()
        assert [seen.connection for seen in log] == [log[0].connection] * 2
        await emulator.drop("rst")
        with pytest.raises(trio.BrokenResourceError):
            await read_until(stream, b"never sent")


async def test_the_log_shows_the_request_as_it_came_and_reset_forgets_it(emulator):
    await read_all(
        emulator, raw_request(BODY, connection="close", **{"X-Odd": "é".encode().decode("latin-1")})
    )
    [seen] = await emulator.log()
    assert (seen.method, seen.path, seen.body) == ("POST", "/v1/chat/completions", BODY)
    assert seen.header("x-odd") is not None
    assert [key for key, _ in seen.headers if key.lower() == "x-odd"] == ["X-Odd"]
    await emulator.reset()
    assert await emulator.log() == []


async def test_to_forget_the_log_keeps_the_settings(emulator):
    await emulator.configure(refuse_keys={"sk-bad": 401})
    await emulator.script([{"status": 503}])
    await read_all(emulator)
    await emulator.script([{"status": 503}])
    await emulator.forget()
    assert await emulator.log() == []
    assert (await emulator.state())["refuse_keys"] == {"sk-bad": 401}
    good, _ = await read_all(emulator)
    assert good.startswith(b"HTTP/1.1 200")


async def test_a_refused_request_leaves_the_script_alone(emulator):
    await emulator.script([{"status": 503}])
    bad, _ = await read_all(emulator, raw_request({**BODY, "unknown": 1}, connection="close"))
    assert bad.startswith(b"HTTP/1.1 400")
    assert await emulator.refusals() == ["Unrecognized request argument supplied: unknown"]
    good, _ = await read_all(emulator)
    assert good.startswith(b"HTTP/1.1 503")


async def test_mistakes_in_control_requests_are_told(emulator):
    with pytest.raises(EmulatorError, match="unknown fault"):
        await emulator.script([{"fault": "typo"}])
    with pytest.raises(EmulatorError, match="unknown settings"):
        await emulator.configure(typo=1)
    with pytest.raises(EmulatorError, match="the wait ran out"):
        await emulator.wait(requests=1, timeout=0.01)


async def test_bodies_can_be_compared_byte_for_byte_or_left_out(emulator):
    await read_all(emulator)
    sent = json.dumps(BODY).encode()
    [seen] = await emulator.log()
    assert seen.body_sha256 == hashlib.sha256(sent).hexdigest()
    await emulator.configure(log_bodies=False)
    await read_all(emulator)
    *_, seen = await emulator.log()
    assert (seen.body, seen.body_sha256, seen.body_size) == (None, "", len(sent))


async def test_scripts_are_for_the_requests_they_name(emulator):
    await emulator.script([{"status": 500, "times": 2, "when": {"contains": "bad"}}, {"status": 503}])
    bad = {**BODY, "messages": [{"role": "user", "content": "bad"}]}
    statuses = []
    for body in (BODY, bad, bad, bad):
        data, _ = await read_all(emulator, raw_request(body, connection="close"))
        statuses.append(data.split()[1])
    assert statuses == [b"503", b"500", b"500", b"200"]


async def test_an_emulator_ends_when_its_input_closes(emulator):
    await emulator.process.stdin.aclose()
    with trio.fail_after(10):
        assert await emulator.process.wait() == 0


async def test_tls_has_a_plain_control_port(tmp_path):
    authority = trustme.CA()
    chain = authority.issue_cert("localhost")
    pem = tmp_path / "server.pem"
    pem.write_bytes(chain.private_key_pem.bytes() + b"".join(part.bytes() for part in chain.cert_chain_pems))
    context = ssl.create_default_context()
    authority.configure_trust(context)
    async with start_emulator("openai", "--tls", str(pem)) as emulator:
        assert emulator.base_url.startswith("https://")
        stream = await trio.open_ssl_over_tcp_stream(
            "localhost", emulator.port, https_compatible=True, ssl_context=context
        )
        async with stream:
            await stream.send_all(raw_request(connection="close"))
            await read_until(stream, b"[DONE]")
        await emulator.wait(finished=1)
