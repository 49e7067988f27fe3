"""Antigravity: the Google account of Google's development environment, with Gemini, Claude and other models.

The wire in short::

    POST {base}/v1internal:generateContent | streamGenerateContent?alt=sse | countTokens
    POST {base}/v1internal:fetchAvailableModels
    Authorization: Bearer {access token of the account}
    {"model", "project", "userAgent", "requestType", "requestId", "request": {…a Gemini request…}}

It is Code Assist as :mod:`cliproxy.providers.gemini_cli` knows it, under another application and with habits
of its own, which the dialect ``antigravity`` has. Two hosts serve it: the daily build, where new models are
first, and production. What the first cannot do at the moment for lack of capacity, the second may.

=============  ===============================================================================================
``account``    the application, the login, the account's project, the members of a credential file, renewal
``contracts``  prepared requests, refusals, which host is next
``models``     the account's own list of models
=============  ===============================================================================================
"""

from typing import Final

from cliproxy.credentials.files import CredentialCodec
from cliproxy.credentials.model import TokenSlot
from cliproxy.providers.antigravity.account import APPLICATION, CALLBACK_PORT, KEY, SLOTS, log_in
from cliproxy.providers.antigravity.contracts import HOSTS, contracts_for
from cliproxy.providers.antigravity.models import discover, static_models
from cliproxy.providers.base import Login, Provider

PROVIDER: Final = Provider(
    key=KEY,
    label="Antigravity (Google account)",
    contracts_for=contracts_for,
    static_models=static_models,
    discover=discover,
    discover_needs=TokenSlot.ACCOUNT,
    slots=SLOTS,
    oauth_client=APPLICATION.name,
    logins=(
        Login(
            flag="antigravity-login",
            summary="Antigravity account.",
            flow=log_in,
            callback_port=CALLBACK_PORT,
        ),
    ),
    codec=CredentialCodec(
        type=KEY,
        provider=KEY,
        tokens=("refresh_token", "access_token"),
        label_from=("label", "email", "project_id"),
    ),
    api_hosts=HOSTS,
    summary="Gemini, Claude and other models with the Google account of Antigravity",
)

__all__ = ["PROVIDER"]
