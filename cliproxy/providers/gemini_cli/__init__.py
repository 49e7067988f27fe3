"""Gemini CLI: a Google account and its Cloud projects, through Code Assist.

The wire in short::

    POST cloudcode-pa.googleapis.com/v1internal:generateContent | streamGenerateContent?alt=sse | countTokens
    Authorization: Bearer {access token of the account}
    {"model": "…", "project": "{one project of the account}", "request": {…a Gemini request…}}

The login is the one of Google's own program, with the browser; afterwards each project is set up for Code
Assist and its API switched on. Quotas are counted by project, so an account whose file names several counts
as several candidates, which share its one token.

=============  ===============================================================================================
``tokens``     the application, the members of a credential file, renewal
``setup``      projects, Code Assist for a project, the API switched on
``login``      the login, and which projects it is for
``imported``   taking over the login of Google's own program
``contracts``  prepared requests, refusals, an account as one credential for each project
=============  ===============================================================================================
"""

from typing import Final

from cliproxy.credentials.files import CredentialCodec
from cliproxy.providers.base import Login, Provider
from cliproxy.providers.gemini_cli.contracts import HOST, KEY, contracts_for, expand, static_models
from cliproxy.providers.gemini_cli.imported import IMPORT
from cliproxy.providers.gemini_cli.login import log_in
from cliproxy.providers.gemini_cli.tokens import APPLICATION, CALLBACK_PORT, FILE_TYPE, SLOTS

PROVIDER: Final = Provider(
    key=KEY,
    label="Gemini CLI (Google account)",
    contracts_for=contracts_for,
    static_models=static_models,
    expand=expand,
    slots=SLOTS,
    oauth_client=APPLICATION.name,
    logins=(
        Login(
            flag="login",
            summary="Google account (Gemini CLI).",
            flow=log_in,
            callback_port=CALLBACK_PORT,
        ),
    ),
    imports=(IMPORT,),
    codec=CredentialCodec(
        type=FILE_TYPE,
        provider=KEY,
        tokens=("token.refresh_token", "token.access_token", "refresh_token", "access_token"),
        label_from=("label", "email", "project_id"),
    ),
    api_hosts=(HOST,),
    summary="Gemini models with a Google account and its Cloud projects, through Code Assist",
)

__all__ = ["PROVIDER"]
