"""What counts as a change, from when on, and what it means: tables without files or clocks."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cliproxy.config.entries import ClientKey
from cliproxy.config.groups import Database, Tls
from cliproxy.config.model import Config
from cliproxy.credentials.model import Credential, CredentialId
from cliproxy.service.changes import (
    ONCE_MORE_S,
    RESTART_KEYS,
    Difference,
    Watch,
    changed_keys,
    difference,
    exposure,
    is_renewal,
    needs_restart,
)
from cliproxy.service.listen import Binding
from cliproxy.stores.base import Stamp
from cliproxy.wire.secret import Secret
from support.routes import credential

A, B, C = (1,), (2,), (3,)
GONE: dict[str, Stamp] = {}


def looks(*stamps: dict[str, Stamp]) -> list[set[str]]:
    """What is to be read after each look, where reading takes no time."""
    watch = Watch()
    found = []
    for each in stamps:
        names = watch.look(each, 0.0)
        found.append(set(names))
        assert watch.settle(names, each, 0.0) == names
    return found


# --- at rest --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stamps", "read"),
    [
        ([{"f": A}, {"f": A}, {"f": A}], [set(), {"f"}, set()]),
        ([{"f": A}, {"f": B}, {"f": C}, {"f": C}], [set(), set(), set(), {"f"}]),
        ([{"f": A}, {"f": A}, {"f": B}, {"f": A}], [set(), {"f"}, set(), set()]),
        ([{"f": A}, {"f": A}, GONE, {"f": B}, {"f": B}], [set(), {"f"}, set(), set(), {"f"}]),
        ([{"f": A}, {"f": A}, GONE, GONE, GONE], [set(), {"f"}, set(), {"f"}, set()]),
        ([{"f": A}, GONE, GONE], [set(), set(), set()]),
        ([{"f": A}, {"f": A, "g": A}, {"f": A, "g": A}], [set(), {"f"}, {"g"}]),
        ([{"f": A, "g": A}, {"f": A, "g": B}, {"f": A, "g": C}], [set(), {"f"}, set()]),
    ],
    ids=[
        "at rest",
        "written in pieces",
        "changed and changed back",
        "moved away and replaced",
        "removed",
        "gone before it was at rest",
        "another one later",
        "one that never rests does not hold up the others",
    ],
)
def test_a_change_counts_when_two_looks_have_seen_the_same(
    stamps: list[dict[str, Stamp]], read: list[set[str]]
) -> None:
    assert looks(*stamps) == read


def test_what_is_written_while_it_is_read_is_read_again() -> None:
    watch = Watch()
    watch.look({"f": A}, 0.0)
    names = watch.look({"f": A}, 0.0)
    assert names == {"f"}
    assert watch.settle(names, {"f": B}, 0.0) == set()
    assert watch.look({"f": B}, 0.0) == set()
    assert watch.look({"f": B}, 0.0) == {"f"}


def test_who_asks_gets_everything_at_once() -> None:
    watch = Watch()
    assert watch.look({"f": A}, 0.0, everything=True) == {"f"}
    assert watch.settle({"f"}, {"f": A}, 0.0) == {"f"}
    assert watch.look({"f": A, "g": A}, 0.0, everything=True) == {"f", "g"}
    assert watch.settle({"f", "g"}, {"f": A, "g": A}, 0.0) == {"f", "g"}
    assert watch.look({}, 0.0, everything=True) == {"f", "g"}


def test_looks_come_sooner_while_something_is_not_at_rest() -> None:
    watch = Watch()
    assert not watch.is_restless
    watch.look({"f": A}, 0.0)
    assert watch.is_restless
    watch.settle(watch.look({"f": A}, 0.0), {"f": A}, 0.0)
    assert not watch.is_restless


def test_what_was_changed_is_read_once_more_when_its_time_can_tell() -> None:
    """And only then, and only once."""
    watch = Watch({"old": A})
    present = {"old": A, "f": B}
    read: list[tuple[float, set[str]]] = []
    for now in (0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 9.0):
        names = watch.look(present, now)
        if names:
            read.append((now, set(names)))
        assert watch.settle(names, present, now) == names
    assert read == [(1.0, {"f"}), (1.0 + ONCE_MORE_S, {"f"})]
    assert not watch.is_restless


def test_what_is_gone_is_not_read_once_more() -> None:
    watch = Watch()
    for stamps in ({"f": A}, {"f": A}, GONE, GONE):
        watch.settle(watch.look(stamps, 0.0), stamps, 0.0)
    assert watch.look(GONE, 100.0) == set()


def test_a_change_before_it_is_read_once_more_takes_its_usual_way() -> None:
    watch = Watch()
    for _ in range(2):
        watch.settle(watch.look({"f": A}, 0.0), {"f": A}, 0.0)
    assert watch.look({"f": B}, 10.0) == set()
    assert watch.look({"f": B}, 11.0) == {"f"}
    assert watch.settle({"f"}, {"f": B}, 11.0) == {"f"}
    assert watch.look({"f": B}, 12.0) == set()
    assert watch.look({"f": B}, 11.0 + ONCE_MORE_S) == {"f"}


_LOOKS = st.lists(st.dictionaries(st.sampled_from("fgh"), st.sampled_from([A, B, C])), max_size=12)


@given(_LOOKS, st.dictionaries(st.sampled_from("fgh"), st.sampled_from([A, B, C])))
def test_whatever_happened_before_the_end_is_seen(
    before: list[dict[str, Stamp]], last: dict[str, Stamp]
) -> None:
    """After two looks at the same there is nothing left to read, and what was read last is what is there."""
    watch = Watch()
    read: dict[str, Stamp | None] = {}
    for stamps in [*before, last, last]:
        names = watch.look(stamps, 0.0)
        watch.settle(names, stamps, 0.0)
        read |= {name: stamps.get(name) for name in names}
    assert not watch.is_restless
    assert {name: stamp for name, stamp in read.items() if stamp is not None} == last


# --- credentials ----------------------------------------------------------------------------------


def ids(*names: str) -> tuple[CredentialId, ...]:
    return tuple(CredentialId(name) for name in names)


def test_credentials_are_compared_by_what_they_say() -> None:
    old = [credential("a"), credential("b"), credential("c")]
    new = [credential("d"), credential("c"), credential("b", priority=1)]
    found = difference(old, new)
    assert found == Difference(added=ids("d"), changed=ids("b"), removed=ids("a"))
    assert str(found) == "added=d changed=b removed=a"
    assert set(found.ids()) == {"a", "b", "d"}


def test_an_entry_that_moved_is_the_same() -> None:
    moved = difference([credential("a", source="claude-api-key[0]")], [credential("a", source="x[1]")])
    assert not moved
    assert str(moved) == ""


def account(data: dict[str, object], **settings: object) -> Credential:
    return credential("me.json", data=data, **settings)


FILE = {"token": "old", "refresh": "r1", "note": "mine"}


@pytest.mark.parametrize(
    ("now", "renewed", "is_ours"),
    [
        ({**FILE, "token": "new"}, {**FILE, "token": "new"}, True),
        ({**FILE, "token": "new", "until": 5}, {**FILE, "token": "new", "until": 5}, True),
        ({**FILE, "token": "other"}, {**FILE, "token": "new"}, False),
        ({**FILE, "token": "new", "note": "edited"}, {**FILE, "token": "new"}, False),
        ({**FILE, "token": "new", "extra": 1}, {**FILE, "token": "new"}, False),
        ({"token": "new", "refresh": "r1"}, {**FILE, "token": "new"}, False),
        (FILE, FILE, True),
        ({**FILE, "token": "new"}, None, False),
    ],
    ids=[
        "ours",
        "with a new member",
        "another login",
        "edited at the same time",
        "a member of the owner's",
        "a member removed",
        "the same",
        "a credential without tokens",
    ],
)
def test_our_own_renewals_are_recognised(
    now: dict[str, object], renewed: dict[str, object] | None, is_ours: bool
) -> None:
    known = account(renewed) if renewed is not None else None
    assert is_renewal(account(FILE), account(now), known) is is_ours


def test_a_renewal_inside_of_a_token_object_is_ours() -> None:
    old = account({"token": {"access_token": "a", "client": "c"}})
    new = account({"token": {"access_token": "b", "client": "c"}})
    assert is_renewal(old, new, account({"token": {"access_token": "b"}}))


def test_a_changed_setting_is_never_a_renewal() -> None:
    assert not is_renewal(account(FILE), account(FILE, disabled=True), account(FILE))


# --- the configuration ----------------------------------------------------------------------------


def test_changed_keys_are_named_as_in_the_file() -> None:
    assert changed_keys(Config(), Config()) == ()
    new = Config(api_keys=(Secret("k"),), request_retry=7, tls=Tls(enable=True))
    assert changed_keys(Config(), new) == ("tls", "api-keys", "request-retry")


HERE = Binding(("127.0.0.1", "::1"), 1, "")
ALL = Binding(("",), 1, "")


@pytest.mark.parametrize(
    ("config", "binding", "auth_dir", "keys"),
    [
        (Config(debug=True), HERE, "auth", ()),
        (Config(), ALL, "auth", ("host",)),
        (Config(), Binding(HERE.hosts, 2, "another reason"), "auth", ("port",)),
        (Config(tls=Tls(enable=True)), HERE, "other", ("tls", "auth-dir")),
        (Config(database=Database(path="elsewhere.db")), HERE, "auth", ("database.path",)),
    ],
)
def test_what_needs_a_restart_is_named(
    config: Config, binding: Binding, auth_dir: str, keys: tuple[str, ...]
) -> None:
    begun = (Config(), HERE, Path("auth"))
    assert needs_restart(begun, (config, binding, Path(auth_dir))) == keys


def test_the_documentation_names_them() -> None:
    page = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text(encoding="utf-8")
    [row] = [line for line in page.splitlines() if "restart the server" in line]
    assert re.findall(r"`([^`]+)`", row.split("|")[1]) == list(RESTART_KEYS)


@pytest.mark.parametrize(
    ("config", "binding", "is_refused"),
    [
        (Config(), ALL, True),
        (Config(), Binding(("10.0.0.1",), 1, ""), True),
        (Config(), HERE, False),
        (Config(api_keys=(Secret("k"),)), ALL, False),
        (Config(client_keys=(ClientKey(name="a", key=Secret("k"), disabled=True),)), ALL, False),
        (Config(allow_unauthenticated=True), ALL, False),
    ],
)
def test_a_server_that_others_reach_does_not_lose_its_keys(
    config: Config, binding: Binding, is_refused: bool
) -> None:
    problem = exposure(config, binding, 3)
    assert (problem is not None) is is_refused
    if problem is not None:
        assert str(problem).startswith("line 3: api-keys: the server listens on addresses beyond")
