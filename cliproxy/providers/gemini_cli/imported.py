"""Taking over the login of Google's own Gemini CLI, from ``oauth_creds.json``.

The file has the tokens and, where Google sent one, an ID token; it names neither project nor application. The
project is found on first use, like that of every file without one, unless the owner names it
(``-project_id``). The application is the Gemini CLI's, which renewals look for where they always do.

Google's refresh tokens do not rotate: both programs go on with the same login.
"""

from typing import Final

from cliproxy.credentials.naming import file_name
from cliproxy.credentials.times import rfc3339, unix_time
from cliproxy.errors import LoginError
from cliproxy.login.account import claims_of
from cliproxy.login.steps import Ask, Flow
from cliproxy.providers.base import Import, LoginInputs, LoginResult
from cliproxy.providers.gemini_cli.setup import email_of
from cliproxy.providers.gemini_cli.tokens import FILE_TYPE, PROJECT_MEMBER, TOKEN_URL
from cliproxy.wire.jsontext import JsonObject, JsonValue, text
from cliproxy.wire.secret import Secret

NAME: Final = Ask(key="email", prompt="E-mail address or other name for this account", default="gemini-cli")


def take_over(document: JsonObject, inputs: LoginInputs) -> Flow[LoginResult]:
    """Make a credential file of the program's."""
    access = text(document, "access_token")
    if not text(document, "refresh_token"):
        raise LoginError("the file holds no account", code="nothing_to_import", hint="Log in with -login.")
    email = text(claims_of(text(document, "id_token")), "email")
    if not email and access:
        email = yield from email_of(Secret(access))
    name = email or (yield NAME)
    end = unix_time(document.get("expiry_date"))
    token: JsonObject = {
        "access_token": access,
        "token_type": text(document, "token_type") or "Bearer",
        "refresh_token": text(document, "refresh_token"),
        "expiry": rfc3339(end) if end is not None else "",
        "token_uri": TOKEN_URL,
        "scopes": [*text(document, "scope").split()],
        "universe_domain": "googleapis.com",
    }
    project = inputs.options.get("project_id", "").strip()
    data: dict[str, JsonValue] = {
        "type": FILE_TYPE,
        "email": name,
        PROJECT_MEMBER: project,
        "auto": not project,
        "checked": False,
        "token": token,
    }
    return LoginResult(file_name=file_name(FILE_TYPE, name, project), data=data, label=name)


IMPORT: Final = Import(
    program="Gemini CLI", directory=".gemini", file="oauth_creds.json", flow=take_over, rotates=False
)
