"""Snapshots: complete, never changed, and swapped as a whole."""

import pytest
from attrs import evolve

from cliproxy.catalog.model import ModelInfo
from cliproxy.catalog.remote import read
from cliproxy.config.entries import ModelFacts, ModelName
from cliproxy.config.model import Config
from cliproxy.credentials.model import Credential, CredentialId, CredentialKind, ModelEntry
from cliproxy.errors import Failure, Kind, Scope
from cliproxy.providers.base import Provider
from cliproxy.routing.cooldown import RuntimeState
from cliproxy.routing.runtime import RuntimeTable, model_place
from cliproxy.service.snapshots import SHORT_S, Snapshots, is_listed
from support.routes import candidate, credential

PROVIDER = Provider(
    key="p",
    label="P",
    contracts_for=lambda _credential, _model, _action: (),
    static_models=lambda _credential: (ModelInfo(id="static"),),
)
FOUND = (ModelInfo(id="found-1"), ModelInfo(id="found-2"))


def snapshots(*credentials: Credential, config: Config | None = None) -> Snapshots:
    return Snapshots({"p": PROVIDER}, config or Config(), credentials)


def names(subject: Snapshots) -> list[str]:
    return subject.current().registry.names()


def test_a_snapshot_holds_what_it_was_made_of() -> None:
    config = Config(port=1)
    a = credential("a")
    current = snapshots(a, config=config).current()
    assert (current.config, current.credentials) == (config, (a,))
    assert current.providers == {"p": PROVIDER}
    assert current.registry.names() == ["static"]


def test_an_exchange_keeps_the_snapshot_it_started_with() -> None:
    subject = snapshots(credential("a"))
    before = subject.current()
    subject.replace(Config(port=2), [])
    assert before.registry.names() == ["static"]
    assert before.config.port != 2
    assert names(subject) == []
    assert subject.current().config.port == 2


def test_news_are_served_after_a_rebuild() -> None:
    subject = snapshots(credential("a"), credential("b"))
    assert subject.discovered(CredentialId("a"), FOUND)
    assert names(subject) == ["static"]
    subject.rebuild()
    assert names(subject) == ["found-1", "found-2", "static"]


def test_what_is_known_already_is_no_news() -> None:
    subject = snapshots(credential("a"))
    subject.discovered(CredentialId("a"), FOUND)
    assert not subject.discovered(CredentialId("a"), tuple(FOUND))
    assert not subject.discovered(CredentialId("a"), ())
    subject.rebuild()
    assert names(subject) == ["found-1", "found-2"]


def test_a_rebuild_does_not_forget_what_was_discovered_except_about_those_who_left() -> None:
    subject = snapshots(credential("a"), credential("b"))
    subject.discovered(CredentialId("a"), FOUND[:1])
    subject.discovered(CredentialId("b"), FOUND[1:])
    subject.replace(Config(), [credential("a")])
    assert names(subject) == ["found-1"]
    subject.replace(Config(), [credential("a"), credential("b")])
    assert names(subject) == ["found-1", "static"]


def test_one_credential_can_be_swapped() -> None:
    subject = snapshots(credential("a"), credential("b"))
    subject.put_credential(credential("a", disabled=True))
    subject.put_credential(credential("c", prefix="team"))
    assert [each.id for each in subject.current().credentials] == ["b", "a", "c"]
    assert names(subject) == ["static", "team/static"]


def account(name: str = "a", **settings: object) -> Credential:
    return evolve(credential(name, **settings), kind=CredentialKind.ACCOUNT)


def test_aliases_and_exclusions_of_the_configuration_hold_for_the_accounts_of_every_provider() -> None:
    config = Config(
        oauth_model_alias={"p": (ModelName(name="static", alias="mine", fork=True),)},
        oauth_excluded_models={"p": ("stat*",)},
    )
    assert names(snapshots(account(), config=config)) == []
    only_alias = Config(oauth_model_alias=config.oauth_model_alias)
    assert names(snapshots(account(), config=only_alias)) == ["mine", "static"]
    own = account(model_aliases=(ModelEntry(name="static", alias="file"),))
    assert names(snapshots(own)) == ["file"]


def test_keys_have_lists_of_their_own() -> None:
    config = Config(
        oauth_model_alias={"p": (ModelName(name="static", alias="mine"),)},
        oauth_excluded_models={"p": ("*",)},
    )
    assert names(snapshots(credential("a"), config=config)) == ["static"]


def test_an_alias_of_a_file_goes_before_that_of_the_configuration() -> None:
    config = Config(oauth_model_alias={"p": (ModelName(name="found-1", alias="mine"),)})
    subject = snapshots(account(model_aliases=(ModelEntry(name="found-2", alias="mine"),)), config=config)
    subject.discovered(CredentialId("a"), FOUND)
    subject.rebuild()
    (mine,) = subject.current().registry.candidates("mine")
    assert mine.model == "found-2"


def test_a_name_that_hides_another_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    config = Config(oauth_model_alias={"p": (ModelName(name="found-1", alias="found-2"),)})
    subject = snapshots(account(), config=config)
    assert caplog.messages == []
    subject.discovered(CredentialId("a"), FOUND)
    for _ in range(2):
        subject.rebuild()
    (said,) = caplog.messages
    assert "p: `found-2` means `found-1`" in said
    subject.replace(Config(), [account()])
    subject.replace(config, [account()])
    assert len(caplog.messages) == 2


def test_facts_of_the_configuration_go_before_those_of_the_provider_and_of_the_upstream() -> None:
    facts = (ModelFacts(name="static", context=5), ModelFacts(name="found", context=6))
    subject = snapshots(
        credential("a"), config=Config(model_facts={"p": facts, "q": (ModelFacts(name="x"),)})
    )
    assert contexts(subject) == {"static": 5, "found": 6}
    subject.discovered(CredentialId("a"), (ModelInfo(id="found", context_tokens=1),))
    subject.rebuild()
    assert contexts(subject) == {"static": 5, "found": 6}


def contexts(subject: Snapshots) -> dict[str, int | None]:
    listing = subject.current().registry.listing()
    return {entry.name: entry.info.context_tokens for entry in listing}


def test_a_newer_catalogue_is_used_until_it_is_taken_back() -> None:
    newer = read(b'{"p": [{"id": "static", "context_length": 7}, {"id": "new"}], "q": [{"id": "other"}]}')
    subject = snapshots(account("a"), account("b"))
    subject.use_catalogue(newer)
    assert contexts(subject) == {"new": None, "static": 7}
    config = Config(model_facts={"p": (ModelFacts(name="static", context=9),)})
    subject.replace(config, [account("a"), account("b")])
    assert contexts(subject) == {"new": None, "static": 9}
    subject.use_catalogue(None)
    assert contexts(subject) == {"static": 9}


def test_prefixes_can_be_forced() -> None:
    a = credential("a", prefix="team")
    assert names(snapshots(a)) == ["static", "team/static"]
    assert names(snapshots(a, config=Config(force_model_prefix=True))) == ["team/static"]


def test_models_stay_listed_while_they_wait_for_quota_or_only_for_a_moment() -> None:
    table = RuntimeTable()
    subject = candidate()

    def listed(kind: Kind, seconds: float) -> bool:
        failure = Failure(kind=kind, scope=Scope.MODEL, message="x")
        table.put(
            model_place(subject), RuntimeState(until=100 + seconds, failures=1, kind=failure.kind, cause="x")
        )
        return is_listed(subject, table, 100.0)

    assert is_listed(subject, table, 100.0)
    assert listed(Kind.QUOTA, 10_000)
    assert listed(Kind.RATE_LIMIT, 10_000)
    assert listed(Kind.UNAVAILABLE, SHORT_S - 1)
    assert not listed(Kind.UNAVAILABLE, SHORT_S + 1)
    assert not listed(Kind.AUTHENTICATION, 1000)
    assert listed(Kind.AUTHENTICATION, -1)


def test_an_account_that_counts_as_several_is_listed_once_and_routed_as_many() -> None:
    def expand(whole: Credential) -> tuple[Credential, ...]:
        return tuple(evolve(whole, id=CredentialId(f"a::{n}"), part_of=whole.id) for n in (1, 2))

    whole = credential("a")
    subject = Snapshots({"p": evolve(PROVIDER, expand=expand)}, Config(), [whole])
    assert subject.current().credentials == (whole,)
    assert [each.credential.id for each in subject.current().registry.candidates("static")] == [
        "a::1",
        "a::2",
    ]
    subject.discovered(whole.id, FOUND)
    subject.rebuild()
    assert [each.credential.id for each in subject.current().registry.candidates("found-1")] == [
        "a::1",
        "a::2",
    ]


def test_what_was_discovered_is_forgotten_when_the_account_is_another_vendors() -> None:
    """One file name, another login."""
    other = evolve(PROVIDER, key="q", static_models=lambda _credential: (ModelInfo(id="of-q"),))
    subject = Snapshots({"p": PROVIDER, "q": other}, Config(), [credential("a")])
    subject.discovered(CredentialId("a"), FOUND)
    subject.replace(Config(), [credential("a", "q")])
    assert names(subject) == ["of-q"]


def test_the_ids_are_those_of_accounts_and_of_their_parts() -> None:
    def expand(account: Credential) -> tuple[Credential, ...]:
        return tuple(evolve(account, id=f"{account.id}::{each}", part_of=account.id) for each in "xy")

    subject = Snapshots({"p": evolve(PROVIDER, expand=expand)}, Config(), [credential("a")])
    assert subject.ids() == {"a", "a::x", "a::y"}


def counted(asked: list[str]) -> Provider:
    """A provider that notes whose models somebody wants to know."""

    def static_models(credential: Credential) -> tuple[ModelInfo, ...]:
        asked.append(credential.id)
        return (ModelInfo(id="static"),)

    return evolve(PROVIDER, static_models=static_models)


def test_only_what_has_changed_is_worked_out_again() -> None:
    asked: list[str] = []
    everybody = [credential(name) for name in "abc"]
    subject = Snapshots({"p": counted(asked)}, Config(), everybody)
    assert asked == ["a", "b", "c"]
    before = subject.current().registry
    subject.replace(Config(request_retry=7), everybody)
    assert subject.current().registry is before
    subject.replace(Config(), [everybody[0], evolve(everybody[1], priority=-1), everybody[2]])
    assert asked == ["a", "b", "c", "b"]
    after = subject.current().registry
    kept = {id(each) for each in before.candidates("static")}
    assert [each.credential.id for each in after.candidates("static")] == ["a", "c", "b"]
    assert [id(each) in kept for each in after.candidates("static")] == [True, True, False]


def test_what_the_configuration_says_about_models_concerns_all_accounts() -> None:
    asked: list[str] = []
    file = evolve(credential("a"), kind=CredentialKind.ACCOUNT)
    subject = Snapshots({"p": counted(asked)}, Config(), [file])
    for config, expected in (
        (Config(oauth_model_alias={"p": (ModelName(name="static", alias="mine"),)}), ["mine"]),
        (Config(oauth_excluded_models={"p": ("static",)}), []),
        (Config(model_facts={"p": (ModelFacts(name="new"),)}), ["new", "static"]),
        (Config(), ["static"]),
    ):
        subject.replace(config, [file])
        assert names(subject) == expected


def test_accounts_that_have_the_same_models_keep_one_list_of_them() -> None:
    subject = snapshots(credential("a"), credential("b"))
    for name in "ab":
        subject.discovered(CredentialId(name), (ModelInfo(id="found", display_name="Found"),))
    subject.rebuild()
    first, second = subject.current().registry.candidates("found")
    assert first.info is second.info
