"""The certificate for HTTPS, looked at before anything listens: the TLS library names neither the file nor
the key of the configuration when something is wrong with one."""

import ssl
from collections.abc import Mapping

from cliproxy.config.groups import Tls
from cliproxy.errors import ConfigError, Problem


def check_certificate(tls: Tls, source: str, lines: Mapping[str, int]) -> None:
    """Raise :class:`~cliproxy.errors.ConfigError` when HTTPS is wanted and cannot be served.

    ``lines`` says where in the configuration a key stands.
    """
    if not tls.enable:
        return
    files = {"tls.cert": tls.cert, "tls.key": tls.key}
    problems = [
        Problem(reason, path, lines.get(path))
        for path, file in files.items()
        if (reason := _why_not_read(file)) is not None
    ]
    if not problems and (reason := _why_not_used(tls)) is not None:
        problems.append(Problem(reason, "tls", lines.get("tls")))
    if problems:
        raise ConfigError(source, problems)


def _why_not_read(file: str) -> str | None:
    try:
        with open(file, "rb"):
            return None
    except OSError as exc:
        return f"{file} cannot be read: {exc.strerror}"


def _why_not_used(tls: Tls) -> str | None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(tls.cert, tls.key, password=_no_password)
    except _Locked:
        return f"{tls.key} is protected by a password; a server cannot be asked for one"
    except ssl.SSLError as exc:
        reason = (exc.reason or "not PEM").replace("_", " ").lower()
        return f"{tls.cert} and {tls.key} cannot be used together: {reason}"
    return None


class _Locked(Exception):
    """The key is encrypted."""


def _no_password() -> str:
    raise _Locked
