"""Where the server listens, and that it never listens more openly than the owner knows."""

import socket

import pytest

from cliproxy.config.entries import ClientKey
from cliproxy.config.model import Config
from cliproxy.errors import ConfigError
from cliproxy.service.listen import (
    LOOPBACKS,
    UNREAD_LIMIT_S,
    UNSENT_BYTES,
    Binding,
    choose_binding,
    is_loopback,
    open_sockets,
    shown_url,
)
from cliproxy.wire.secret import Secret

KEYS = (Secret("sk-0123456789abcdef"),)


def test_without_keys_it_is_this_machine_only() -> None:
    binding = choose_binding(Config())
    assert binding.hosts == LOOPBACKS
    assert "no client keys" in binding.reason


def test_with_keys_it_is_every_address() -> None:
    assert choose_binding(Config(api_keys=KEYS)).hosts == ("",)
    assert choose_binding(Config(client_keys=(ClientKey(name="a", key=KEYS[0]),))).hosts == ("",)


def test_an_open_server_says_why_it_is_open() -> None:
    binding = choose_binding(Config(allow_unauthenticated=True))
    assert binding.hosts == ("",)
    assert "allow-unauthenticated" in binding.reason


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.7", "::", "example.org"])
def test_an_open_address_without_keys_is_refused(host: str) -> None:
    with pytest.raises(ConfigError, match="api-keys"):
        choose_binding(Config(host=host))
    assert choose_binding(Config(host=host, api_keys=KEYS)).hosts == (host,)
    assert choose_binding(Config(host=host, allow_unauthenticated=True)).hosts == (host,)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost", "[::1]"])
def test_loopback_addresses_need_no_keys(host: str) -> None:
    assert choose_binding(Config(host=host)).hosts == (host.strip("[]"),)
    assert is_loopback(host.strip("[]"))


def test_both_loopbacks_share_the_port() -> None:
    sockets = open_sockets(Binding(LOOPBACKS, 0, ""))
    try:
        assert sockets[0].family == socket.AF_INET
        assert len({sock.getsockname()[1] for sock in sockets}) == 1
    finally:
        for sock in sockets:
            sock.close()


@pytest.mark.skipif(not hasattr(socket, "TCP_NOTSENT_LOWAT"), reason="an option of Linux")
def test_a_client_that_does_not_read_is_noticed_soon_and_not_kept_for_ever() -> None:
    """Without the option the system takes megabytes on its behalf."""
    (sock, *_) = open_sockets(Binding(("127.0.0.1",), 0, ""))
    with sock, socket.create_connection(sock.getsockname()):
        sock.setblocking(True)
        taken, _ = sock.accept()
        with taken:
            assert taken.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == UNREAD_LIMIT_S * 1000
            taken.setblocking(False)
            assert taken.send(b"x" * 100 * UNSENT_BYTES) < 4 * UNSENT_BYTES


def test_a_taken_port_is_an_error_that_names_it() -> None:
    (first, *others) = open_sockets(Binding(("127.0.0.1",), 0, ""))
    port = first.getsockname()[1]
    try:
        with pytest.raises(OSError, match=rf"127\.0\.0\.1 port {port}: .*in use"):
            open_sockets(Binding(LOOPBACKS, port, ""))
    finally:
        for sock in (first, *others):
            sock.close()


@pytest.mark.parametrize(
    ("host", "said"),
    [
        ("192.0.2.1", "this machine has no such address"),
        ("no.such.host.invalid", "takes an address of this machine"),
    ],
)
def test_an_address_of_somebody_else_is_an_error_with_a_remedy(host: str, said: str) -> None:
    with pytest.raises(OSError, match=said):
        open_sockets(Binding((host,), 0, ""))


def test_urls_are_what_a_person_would_type() -> None:
    (sock, *_) = open_sockets(Binding(("127.0.0.1",), 0, ""))
    with sock:
        assert shown_url(sock, "http") == f"http://127.0.0.1:{sock.getsockname()[1]}"
