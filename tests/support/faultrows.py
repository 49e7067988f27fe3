"""What can go wrong, and what becomes of it: the rows that are played in ``tests/e2e`` and shown to users.

``docs/faults.md`` has these tables; a test compares. Rows come in four groups: faults of upstreams before
anything has reached the client, those after it, oddities that are none, and then the faults of clients and of
the machine. A row of the first three is data and played as it stands; the others name the test that plays
them.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from attrs import frozen

ANSWER: Final = "the answer"
ERROR_EVENT: Final = "an error event"
TEXT: Final = "one two three four five six seven eight"
SAID: Final[dict[str, Any]] = {"blocks": [{"text": TEXT}]}
NEXT: Final = "another account"
NOBODY: Final = "nobody"
MEGABYTE: Final = 1024 * 1024


@frozen(kw_only=True)
class Rest:
    """Who is left alone after a fault, and for how long the first time."""

    who: str
    """``host``, ``model`` (of the account) or ``account``."""
    seconds: float
    may_pass: bool = True
    """Whether the client is told to come back."""

    def __str__(self) -> str:
        return f"{self.who}, {self.seconds:g} s"


MODEL_1S: Final = Rest(who="model", seconds=1)
HOST_1S: Final = Rest(who="host", seconds=1)


@frozen(kw_only=True)
class Upstream:
    """A fault of an upstream."""

    what: str
    play: Mapping[str, Any] | None = None
    """A script entry of the emulator; ``None``: the fault is in the account."""
    account: str = ""
    """An account that leads nowhere."""
    stream: str
    """What a client that wants a stream sees: a status, or one of the words above."""
    whole: str = ""
    """What one sees that does not; empty: this cannot happen to it."""
    recorded: int = 0
    """The status that is kept where the client has seen none."""
    asked: str = NEXT
    rests: Rest | None = MODEL_1S


@frozen(kw_only=True)
class Case:
    """A fault of a client or of the machine, played by a test of its own."""

    what: str
    seen: str
    """What the client sees, or the owner."""
    kept: str
    """What else follows."""
    test: str
    """Where it is played: a file and a test in it, below ``tests``."""


def _failing(what: str, status: int, play: Mapping[str, Any] | None = None, **more: Any) -> Upstream:
    """A fault that both kinds of request see the same way."""
    return Upstream(what=what, play=play, stream=str(status), whole=str(status), **more)


def _status(what: str, status: int, rests: Rest | None = MODEL_1S, **more: Any) -> Upstream:
    asked = NEXT if rests is not None else NOBODY
    return _failing(what, status, {"status": status, **more}, rests=rests, asked=asked)


BEFORE: Final = (
    _failing("The connection is refused", 503, account="closed", rests=HOST_1S),
    _failing("The host has no address", 503, account="lost", rests=HOST_1S),
    _failing("TLS fails", 503, account="tls", rests=HOST_1S),
    _failing("Accepted, then silence for `timeouts.first-byte-seconds`", 504, {"fault": "silence"}),
    _failing("Closed before the head", 502, {"fault": "close_before_head"}),
    _failing("Reset before the head", 503, {"fault": "reset_before_head"}),
    _failing("Something that is not HTTP", 502, {"fault": "not_http"}),
    _failing("The head, then silence for `timeouts.idle-seconds`", 504, {"fault": "head_then_silence"}),
    _failing("The head, then a reset", 503, {"fault": "head_then_reset"}),
    _failing(
        "Half an event, then the end of the connection", 502, {"fault": "half_event_fin", "cut_after": 0}
    ),
    _failing("Half an event, then a proper end", 502, {"fault": "half_event_end", "cut_after": 0}),
    _failing("Half a UTF-8 character, then a reset", 503, {"fault": "half_utf8_rst"}),
    _failing("A wrong chunk", 502, {"fault": "bad_chunk", "bad_chunk_after": 0}),
    _failing("Status 200 and an error as JSON", 502, {"fault": "json_error_200"}),
    _failing("Status 200 and nothing", 502, {"fault": "empty_200"}),
    _failing("Status 200 and a web page", 502, {"fault": "html_200"}),
    Upstream(
        what="The opening of a stream, then an error event",
        play={"fault": "error_event", "error_after": 1},
        stream="502",
    ),
    Upstream(what="The opening of a stream, then its end", play={"cut": "end", "cut_after": 1}, stream="502"),
    Upstream(
        what="The opening of a stream, then silence",
        play={"fault": "stall", "silence_after": 1},
        stream="504",
    ),
    _failing("A redirect", 502, {"fault": "redirect"}),
    _failing(
        "More than `limits.answer-mb`, or an event of more than `limits.event-mb`",
        502,
        {"turn": {"blocks": [{"deltas": ["x" * 3 * MEGABYTE]}]}},
    ),
    _status("400 and others that blame the request", 400, None),
    _status("401, and the token cannot be renewed", 401, Rest(who="account", seconds=60, may_pass=False)),
    _status("402", 402, Rest(who="account", seconds=60)),
    _status("403", 403, Rest(who="model", seconds=300, may_pass=False)),
    _status("404", 404, Rest(who="model", seconds=600, may_pass=False)),
    _status("408", 408),
    _status("429 without a time", 429, message="Too fast."),
    _status("429 whose message names a time", 429, Rest(who="model", seconds=20)),
    _status("429 with `Retry-After: 30`", 429, Rest(who="model", seconds=30), retry_after=30),
    _status("500", 500),
    _status("503 with a date 30 s away", 503, Rest(who="model", seconds=30), retry_after_date=30),
    _status("529 (which is 503 for clients of the Gemini API)", 529),
)


def _cut(what: str, recorded: int, **play: Any) -> Upstream:
    """A fault one event at a time: an error in one packet with the first word would come before it."""
    return Upstream(
        what=what, play={**play, "pace": 0.02}, stream=ERROR_EVENT, recorded=recorded, asked=NOBODY
    )


AFTER: Final = (
    _cut("Half an event, then the end of the connection", 502, fault="half_event_fin", cut_after=3),
    _cut(
        "Half a UTF-8 character, then a reset",
        503,
        cut="rst",
        cut_after=3,
        half="utf8",
        turn={"blocks": [{"deltas": ["one ", "two ", "three ", "caf\u00e9"]}]},
    ),
    _cut("A proper end without the end of the answer", 502, cut="end", cut_after=3),
    _cut("A reset", 503, cut="rst", cut_after=3),
    _cut("Silence for `timeouts.idle-seconds`", 504, fault="stall", silence_after=3),
    _cut("An error event", 502, fault="error_event", error_after=3),
    _cut("A wrong chunk", 502, fault="bad_chunk", bad_chunk_after=3),
)


def _odd(what: str, play: Mapping[str, Any]) -> Upstream:
    return Upstream(what=what, play=play, stream=ANSWER, whole=ANSWER, asked=NOBODY, rests=None)


ODD: Final = (
    _odd("No terminal event", {"fault": "no_terminal"}),
    _odd("Two terminal events", {"fault": "two_terminals"}),
    _odd("An event of 1 MB", {"turn": {"blocks": [{"deltas": [TEXT + " " * MEGABYTE]}]}}),
    _odd("A compressed body that nobody asked for", {"fault": "gzip"}),
    _odd("Another content type", {"fault": "wrong_content_type"}),
    _odd("A byte at a time", {"drip": 0.0001}),
    _odd("Cut anywhere", {"split": 7}),
    _odd("Everything in one piece", {"coalesce": True}),
)

LATE: Final = Upstream(
    what="A byte now and then, for longer than `timeouts.total-seconds`",
    play={"drip": 0.02},
    stream="504",
    whole="504",
)
LATE_AFTER: Final = Upstream(
    what="More words for longer than `timeouts.total-seconds`",
    play={"pace": 0.25},
    stream=ERROR_EVENT,
    recorded=504,
    asked=NOBODY,
)
"""Both are played by a server that has such a limit; by default there is none."""

_CLIENT: Final = "e2e/test_client_faults.py::test_"
GONE: Final = "the upstream is let go within a second; recorded as `cancelled`, with the tokens seen so far"


def _client(what: str, seen: str, kept: str, test: str) -> Case:
    return Case(what=what, seen=seen, kept=kept, test=_CLIENT + test)


CLIENTS: Final = (
    _client("The client closes or resets the connection", "–", GONE, "a_client_that_leaves"),
    _client("The client closes its sending half", "the end of the connection", GONE, "a_client_that_leaves"),
    Case(
        what="The client does not read",
        seen="the rest when it reads; the end of the connection after 60 s in which it took nothing",
        kept="the upstream is held back; 256 KB of memory at most, unless an event is larger",
        test="e2e/test_slow_clients.py::test_clients_that_do_not_read_cost_little",
    ),
    _client(
        "Headers that are not complete after `timeouts.header-seconds`",
        "408, and the connection is closed",
        "–",
        "headers_that_trickle_in",
    ),
    _client(
        "A body that is not complete after `timeouts.body-seconds`", "408", "–", "a_body_that_trickles_in"
    ),
    _client(
        "More headers than `limits.header-count`, or more than `limits.header-kb`",
        "431",
        "–",
        "too_many_headers",
    ),
    _client(
        "A body of more than `limits.body-mb`, before or after it is unpacked",
        "413",
        "nothing is sent to an upstream",
        "a_body_that_cannot_be_taken",
    ),
    _client(
        "JSON that is none, is cut off, or is nested deeper than 200 levels",
        "400",
        "nothing is sent to an upstream",
        "a_body_that_cannot_be_taken",
    ),
    _client(
        "Another content type, or an unknown compression",
        "415",
        "nothing is sent to an upstream",
        "a_body_that_cannot_be_taken",
    ),
    _client(
        "A request that is refused before all of it has come",
        "the refusal",
        "the rest is passed over, for 5 s",
        "a_refusal_can_be_read_by_who_is_still_sending",
    ),
    _client("Something that is not HTTP", "400", "the connection is closed", "what_is_no_http"),
    _client("A wish for HTTP/2 without TLS", "the answer, as HTTP/1.1", "–", "a_wish_for_http2_without_tls"),
    _client("A websocket", "426", "–", "a_websocket"),
    _client(
        "More requests at the same time than `limits.concurrent-requests-per-key`",
        "429 with `Retry-After`, at once",
        "the others go on",
        "too_many_requests_of_one_key",
    ),
    _client(
        "More requests at the same time than `limits.concurrent-requests`",
        "503 with `Retry-After`, at once",
        "the others go on",
        "too_many_requests_of_all",
    ),
    _client(
        "More connections than `limits.connections`",
        "503 with `Retry-After`, at once, in the shape of the OpenAI API",
        "the others go on",
        "too_many_connections",
    ),
)

WAITS: Final = "figures wait in memory until it is over; the log, `/readyz` and `/metrics` say so"
UNSAVED: Final = (
    "a new token is used from memory and saved when that is possible, and the log says why it is not; files "
    "are as they were"
)


def _ledger(what: str, seen: str, kept: str, test: str) -> Case:
    return Case(what=what, seen=seen, kept=kept, test=f"e2e/test_ledger.py::test_{test}")


MACHINE: Final = (
    Case(
        what="A token is refused and can be renewed",
        seen="the answer",
        kept="the token is renewed once, for all who wait, and saved before it is used",
        test="e2e/test_account_renewal.py::test_a_refused_token_of_xai_is_renewed",
    ),
    Case(
        what="The renewal is refused (`invalid_grant`)",
        seen="another account answers; 401 if there is none",
        kept="the account is left alone until somebody logs in again; its file is as it was",
        test="e2e/test_renewals.py::test_an_answer_that_is_lost_on_its_way_ends_in_a_clear_word",
    ),
    Case(
        what="SIGTERM with streams open",
        seen="their end, or an error event when `timeouts.drain-seconds` are over",
        kept="new connections are refused at once; `/readyz` says no",
        test="e2e/test_stop.py::test_streams_finish_or_are_told",
    ),
    Case(
        what="The process is killed (`kill -9`), under load, at any moment",
        seen="the end of the connection",
        kept="configuration and credentials are whole, and the next start serves them; where a new token "
        "of a vendor was on its way to the file, the owner has to log in again",
        test="e2e/test_kill.py::test_a_server_that_is_killed_starts_again",
    ),
    Case(
        what="A configuration is written while it is read, or is wrong",
        seen="nothing",
        kept="the one before stays in force, and the log says what is wrong in which line",
        test="e2e/test_reload.py::test_the_configuration_changes_under_load",
    ),
    Case(
        what="The clock jumps by an hour, forwards or back",
        seen="nothing",
        kept="pauses last as long as before",
        test="exchange/test_clock.py::test_a_jump_of_the_clock_frees_and_freezes_nobody",
    ),
    _ledger(
        "The process is killed (`kill -9`) while usage is written",
        "the end of the connection",
        "less than the last second of usage is missing, and the next start goes on",
        "a_kill_loses_less_than_a_second_and_the_next_start_goes_on",
    ),
    _ledger(
        "The disk is full",
        "the answer",
        f"{WAITS}; {UNSAVED}",
        "a_full_disk_stops_nobody",
    ),
    _ledger(
        "The directory of the credentials cannot be written",
        "the answer",
        f"{WAITS}; {UNSAVED}",
        "a_disk_that_cannot_be_written_stops_nobody",
    ),
    _ledger(
        "The state database is locked by another program",
        "the answer",
        WAITS,
        "a_database_that_another_program_locks_delays_nobody",
    ),
    _ledger(
        "The state database is damaged",
        "the answer",
        "it is moved aside, the log says where to, and a new one is begun",
        "a_damaged_database_is_set_aside",
    ),
)
"""Upstreams over websockets do not exist here, and so none of their faults."""

UPSTREAMS: Final[Mapping[str, tuple[Upstream, ...]]] = {
    "before": (*BEFORE, LATE),
    "after": (*AFTER, LATE_AFTER),
    "odd": ODD,
}


def upstream_table(rows: Iterable[Upstream]) -> list[str]:
    """The rows as a table for people."""
    lines = [
        "| The upstream's answer | A stream ends in | A whole answer is | Asked next | What rests |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        rests = str(row.rests) if row.rests is not None else "nothing"
        lines.append(f"| {row.what} | {row.stream} | {row.whole or '–'} | {row.asked} | {rests} |")
    return lines


def case_table(rows: Iterable[Case]) -> list[str]:
    """The rows as a table for people."""
    return [
        "| What happens | What is seen | What follows |",
        "|---|---|---|",
        *(f"| {row.what} | {row.seen} | {row.kept} |" for row in rows),
    ]


def page() -> str:
    """The page for users."""
    return "\n".join(
        [
            "# What happens when something fails",
            "",
            "Every row here is played by a test. An error has the shape of the client's own API;",
            "one that may pass carries `Retry-After`. Pauses are those after a first fault; they double with",
            "each further one in a row, and an answer ends them.",
            "",
            "## Before the first word of an answer",
            "",
            "The client has received nothing yet. Where the table says so, another account is asked, and the",
            "client sees nothing of the fault; the statuses are those without another account.",
            "",
            *upstream_table(UPSTREAMS["before"]),
            "",
            "## After the first word",
            "",
            "Nobody else can take the answer up. The stream ends with one error event of the client's API.",
            "What is recorded is the status that the fault has before the first word.",
            "",
            *upstream_table(UPSTREAMS["after"]),
            "",
            "## Odd, and an answer nevertheless",
            "",
            *upstream_table(UPSTREAMS["odd"]),
            "",
            "## Clients",
            "",
            *case_table(CLIENTS),
            "",
            "## The machine",
            "",
            *case_table(MACHINE),
            "",
        ]
    )
