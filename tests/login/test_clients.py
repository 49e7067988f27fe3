import pytest
from attrs import evolve

from cliproxy.errors import LoginError
from cliproxy.login.clients import ClientSource, Installed, Place, from_environment, resolve

SOURCE = ClientSource(
    name="vendor",
    vendor="Vendor",
    id="published",
    id_variable="VENDOR_ID",
    secret_variable="VENDOR_SECRET",
    needs_secret=True,
)


def resolved(*places: Place, source: ClientSource = SOURCE) -> tuple[str, str | None]:
    client = resolve(source, places)
    return client.id, client.secret.reveal() if client.secret else None


def test_the_first_place_with_a_secret_wins_and_brings_its_id() -> None:
    assert resolved(Place(id="a", secret="1"), Place(id="b", secret="2")) == ("a", "1")
    assert resolved(Place(), Place(id="b", secret="2")) == ("b", "2")


def test_a_secret_without_an_id_goes_with_the_published_one() -> None:
    assert resolved(Place(secret="1")) == ("published", "1")


def test_an_id_alone_is_used_with_the_secret_found_elsewhere() -> None:
    assert resolved(Place(id="mine"), Place(secret="2")) == ("mine", "2")


def test_a_public_client_needs_no_secret() -> None:
    public = evolve(SOURCE, needs_secret=False)
    assert resolved(source=public) == ("published", None)
    assert resolved(Place(id="mine"), source=public) == ("mine", None)


def test_a_missing_secret_is_named_with_every_way_to_give_it() -> None:
    installed = Installed(program="vendor-cli", files=(), secret="(x)")
    with pytest.raises(LoginError) as caught:
        resolve(evolve(SOURCE, installed=installed), [Place(), Place(id="mine")])
    assert caught.value.code == "missing_client"
    for way in ("VENDOR_SECRET", "oauth-clients: {vendor: {client-secret", "vendor-cli"):
        assert way in caught.value.hint


def test_a_missing_id_is_named() -> None:
    with pytest.raises(LoginError) as caught:
        resolve(evolve(SOURCE, id="", needs_secret=False), [])
    assert "VENDOR_ID" in caught.value.hint


def test_the_environment_is_read_by_the_sources_names() -> None:
    environ = {"VENDOR_ID": " i ", "VENDOR_SECRET": "s"}
    assert from_environment(SOURCE, environ) == Place(id="i", secret="s")
    assert from_environment(evolve(SOURCE, id_variable="", secret_variable=""), environ) == Place()


def test_a_secret_is_not_shown() -> None:
    assert "s3cret" not in repr(Place(secret="s3cret"))
