"""Upstream calls are written down where that is wanted, and only there."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
import trio.testing

from cliproxy.errors import Kind, ProxyError, TransportError
from cliproxy.exchange.answer import answer_exchange, stream_exchange
from cliproxy.observe.folder import Folder
from cliproxy.observe.transcript import Scribe, Transcript, current
from cliproxy.observe.writer import Writer
from support.exchange import ANSWER, REFUSED, WHOLE, Bottle, Reply, bottle, chat, json_reply

Clock = trio.testing.MockClock
BROKEN = TransportError("reset", kind=Kind.UNAVAILABLE, phase="body")


@pytest.fixture
def transcript(tmp_path: Path) -> Iterator[Transcript]:
    scribe = Scribe(folder=Folder(tmp_path), writer=Writer(), everything=True, most_errors=0)
    subject = scribe.begin()
    assert subject is not None
    token = current.set(subject)
    yield subject
    current.reset(token)


def written(transcript: Transcript) -> str:
    transcript.end("id")
    assert transcript.scribe.writer.close(10)
    [file] = transcript.scribe.folder.path.iterdir()
    return file.read_text()


async def streamed(world: Bottle) -> None:
    try:
        async with trio.open_nursery() as nursery:
            head = await nursery.start(stream_exchange, chat(), world.deps)
            async with head.body:
                async for _ in head.body:
                    pass
    except* ProxyError:
        pass


async def test_every_attempt_is_written_down(autojump_clock: Clock, transcript: Transcript) -> None:
    world = bottle(json_reply(REFUSED, 503), json_reply(WHOLE), names="ab")
    await answer_exchange(chat(stream=False), world.deps)
    text = written(transcript)
    for number, host in enumerate(world.hosts, 1):
        assert f"=== API REQUEST {number} ===" in text
        assert f"https://{host}.example/only/m" in text
        assert f"auth_id={host}" in text
    assert "Status: 503" in text
    assert "Status: 200" in text
    assert "authorization: Bearer ***" in text
    assert '"content":"Hello"' in text
    assert transcript.has_failed


async def test_a_stream_is_written_down_as_it_comes(autojump_clock: Clock, transcript: Transcript) -> None:
    await streamed(bottle(Reply(body=ANSWER)))
    assert b"".join(ANSWER).decode() in written(transcript)
    assert not transcript.has_failed


async def test_so_is_where_it_broke_off(autojump_clock: Clock, transcript: Transcript) -> None:
    await streamed(bottle(Reply(body=(*ANSWER[:2], BROKEN))))
    assert "=== API ERROR RESPONSE ===\nRequest: 1\nreset" in written(transcript)
    assert transcript.has_failed


async def test_tokens_of_an_attempt_are_masked_where_they_are_quoted(
    autojump_clock: Clock, transcript: Transcript
) -> None:
    world = bottle(json_reply({"error": {"message": "bad key a-account-0"}}, 400))
    with pytest.raises(ProxyError):
        await answer_exchange(chat(stream=False), world.deps)
    text = written(transcript)
    assert "bad key ***" in text
    assert "a-account-0" not in text


async def test_nobody_else_is_overheard(autojump_clock: Clock) -> None:
    world = bottle(Reply(body=ANSWER))
    await streamed(world)
    assert current.get() is None
    assert world.upstreams.open_streams == 0
