import trio
import trio.testing

from cliproxy.cli.waiting import WIDEST_PICTURE, Countdown, picture

CLEAR = "\r\x1b[K"


def test_an_address_is_drawn_with_half_blocks_and_fits_a_terminal() -> None:
    lines = picture("https://chat.example.org/authorize?user_code=ABCD-EFGH").splitlines()
    assert 15 <= len(lines) <= WIDEST_PICTURE
    assert {"█", "▀", "▄"} & set("".join(lines))


def test_an_address_too_long_for_a_picture_is_not_drawn() -> None:
    assert picture("https://example.org/?" + "x" * 500) == ""
    assert picture("https://example.org/?" + "x" * 5000) == ""


async def test_the_time_left_is_counted_on_one_line(autojump_clock: trio.testing.MockClock) -> None:
    written: list[str] = []
    async with trio.open_nursery() as nursery:
        countdown = Countdown(nursery, written.append)
        countdown.start(62)
        await trio.sleep(2.5)
        countdown.stop()
    assert written == [
        f"{CLEAR}| Waiting for you there, 1:02 left",
        f"{CLEAR}/ Waiting for you there, 1:01 left",
        f"{CLEAR}- Waiting for you there, 1:00 left",
        CLEAR,
    ]


async def test_a_new_wait_takes_the_place_of_the_old_one(autojump_clock: trio.testing.MockClock) -> None:
    written: list[str] = []
    async with trio.open_nursery() as nursery:
        countdown = Countdown(nursery, written.append)
        countdown.stop()
        countdown.start(600)
        await trio.sleep(0.5)
        countdown.start(2)
        await trio.sleep(30)
        countdown.stop()
        countdown.stop()
    shown = [line.rpartition(", ")[2] for line in written if line != CLEAR]
    assert shown == ["10:00 left", "0:02 left", "0:01 left"]
    assert written.count(CLEAR) == 2
