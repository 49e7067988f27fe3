"""Environment variables and the choice of the configuration file."""

from pathlib import PurePosixPath, PureWindowsPath

import pytest

from cliproxy.config.environment import Environment, StoreKind, choose_source, expand_home, read_environment
from cliproxy.wire.secret import Secret

HERE = PurePosixPath("/srv/proxy")


def test_an_empty_environment_says_nothing():
    assert read_environment({}) == Environment()


def test_values_are_trimmed_and_empty_ones_are_not_set():
    environment = read_environment({"GITLAB_BASE_URL": " https://g ", "MANAGEMENT_STATIC_PATH": "  "})
    assert environment.gitlab_base_url == "https://g"
    assert environment.management_static_path is None


def test_secrets_do_not_show():
    environment = read_environment(
        {
            "MANAGEMENT_PASSWORD": "canary",
            "GITLAB_PERSONAL_ACCESS_TOKEN": "canary",
            "GITLAB_OAUTH_CLIENT_SECRET": "canary",
            "PGSTORE_DSN": "postgres://u:canary@h",
        }
    )
    assert environment.management_password == Secret("canary")
    assert "canary" not in repr(environment)


@pytest.mark.parametrize(("value", "cloud"), [("cloud", True), ("Cloud", False), ("", False)])
def test_cloud_mode_is_one_exact_word(value, cloud):
    assert read_environment({"DEPLOY": value}).cloud is cloud


@pytest.mark.parametrize(
    ("variables", "store"),
    [
        ({"PGSTORE_DSN": "x", "OBJECTSTORE_ENDPOINT": "y", "GITSTORE_GIT_URL": "z"}, StoreKind.POSTGRES),
        ({"OBJECTSTORE_ENDPOINT": "y", "GITSTORE_GIT_URL": "z"}, StoreKind.OBJECT),
        ({"gitstore_git_url": "z"}, StoreKind.GIT),
        ({"GITSTORE_GIT_TOKEN": "z"}, StoreKind.FILE),
    ],
)
def test_the_first_configured_store_is_active(variables, store):
    assert read_environment(variables).store is store


def test_the_upper_case_name_comes_first():
    environment = read_environment({"PGSTORE_DSN": "a", "pgstore_dsn": "b", "pgstore_schema": "s"})
    assert environment.store_settings == {"PGSTORE_DSN": Secret("a"), "PGSTORE_SCHEMA": Secret("s")}


def test_only_the_active_store_has_settings():
    environment = read_environment({"PGSTORE_DSN": "a", "GITSTORE_GIT_TOKEN": "t"})
    assert set(environment.store_settings) == {"PGSTORE_DSN"}


@pytest.mark.parametrize(
    ("variables", "flag", "path", "explicit"),
    [
        ({}, "", "/srv/proxy/config.yaml", False),
        ({}, "my.yaml", "/srv/proxy/my.yaml", True),
        ({}, "/etc/p.conf", "/etc/p.conf", True),
        ({"PGSTORE_DSN": "x"}, "my.yaml", "/srv/proxy/pgstore/config/config.yaml", False),
        ({"PGSTORE_DSN": "x", "WRITABLE_PATH": "/data"}, "", "/data/pgstore/config/config.yaml", False),
        (
            {"OBJECTSTORE_ENDPOINT": "x", "OBJECTSTORE_LOCAL_PATH": "/o", "WRITABLE_PATH": "/d"},
            "",
            "/o/objectstore/config/config.yaml",
            False,
        ),
    ],
)
def test_where_the_configuration_is_read_from(variables, flag, path, explicit):
    source = choose_source(read_environment(variables), flag, HERE)
    assert (str(source.path), source.explicit) == (path, explicit)


def test_a_remote_store_brings_its_own_auth_dir():
    source = choose_source(read_environment({"GITSTORE_GIT_URL": "x"}), "", HERE)
    assert source.auth_dir == HERE / "gitstore" / "auths"
    assert choose_source(Environment(), "", HERE).auth_dir is None


@pytest.mark.parametrize(
    ("path", "expanded"),
    [
        ("~", "/home/me"),
        ("~/.cli-proxy-api", "/home/me/.cli-proxy-api"),
        ("~\\a\\b", "/home/me/a/b"),
        ("~other/x", "~other/x"),
        ("/abs", "/abs"),
        ("rel/x", "rel/x"),
    ],
)
def test_home_is_expanded(path, expanded):
    assert str(expand_home(path, PurePosixPath("/home/me"))) == expanded


def test_home_is_expanded_on_windows():
    assert str(expand_home("~/a/b", PureWindowsPath("C:\\Users\\me"))) == "C:\\Users\\me\\a\\b"
