"""The clock of the machine is set while accounts rest."""

from email.utils import formatdate

import pytest
import trio
import trio.testing
from attrs import evolve

from cliproxy.errors import NothingReady, UpstreamError
from cliproxy.exchange.answer import answer_exchange
from support.exchange import NOW, REFUSED, WHOLE, bottle, chat, json_reply

HOUR = 3600.0


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
@pytest.mark.parametrize("told", ["60", formatdate(NOW + 60, usegmt=True)], ids=["seconds", "date"])
async def test_a_jump_of_the_clock_frees_and_freezes_nobody(
    jump: float, told: str, autojump_clock: trio.testing.MockClock
) -> None:
    world = bottle(json_reply(REFUSED, 429, retry_after=told), json_reply(WHOLE))
    wall = [NOW]
    deps = evolve(world.deps, wall=lambda: wall[0] + trio.current_time())
    wanted = chat(stream=False)
    wall[0] -= trio.current_time()
    with pytest.raises(UpstreamError):
        await answer_exchange(wanted, deps)
    wall[0] += jump
    await trio.sleep(30)
    with pytest.raises(NothingReady) as caught:
        await answer_exchange(wanted, deps)
    assert caught.value.retry_after == pytest.approx(33, abs=4)
    await trio.sleep(37)
    await answer_exchange(wanted, deps)
    assert world.hosts == ["a", "a"]
