"""Claude: Anthropic's Messages API with an account or a key, or a server that speaks like it.

The wire, in short::

    claude.ai/oauth/authorize                           the login in the browser, back to port 54545
    POST platform.claude.com/v1/oauth/token             JSON: codes and renewals; refresh tokens rotate
    GET api.anthropic.com/api/oauth/profile             whose token it is

    POST {base}/v1/messages?beta=true
    POST {base}/v1/messages/count_tokens?beta=true      Anthropic's own host only
    x-api-key: {key}                                    Anthropic's own host
    Authorization: Bearer {key or access token}         every other host, and OAuth tokens everywhere
    anthropic-version, anthropic-beta                   the client's, else the defaults

==============  ==============================================================================================
``contracts``   prepared requests, refusals
``login``       the login, the file, the renewal, and taking over the login of the vendor's command line
==============  ==============================================================================================
"""

from typing import Final

from cliproxy.catalog import static
from cliproxy.catalog.model import ModelInfo
from cliproxy.config.sections import Section
from cliproxy.credentials.files import CredentialCodec
from cliproxy.credentials.model import Credential, TokenSlot
from cliproxy.login import account
from cliproxy.providers.base import Login, Provider, SlotPolicy
from cliproxy.providers.claude.contracts import HOST, KEY, contracts_for
from cliproxy.providers.claude.login import IMPORT, LEAD_S, LOGIN, browser_login, renew

__all__ = ["PROVIDER"]


def static_models(credential: Credential) -> tuple[ModelInfo, ...]:
    """Return the models of the entry, else the known ones."""
    return static.models_of(credential, KEY)


PROVIDER: Final = Provider(
    key=KEY,
    label="Claude",
    contracts_for=contracts_for,
    static_models=static_models,
    slots={
        TokenSlot.ACCOUNT: SlotPolicy(initial=account.initial, renew=renew, lead_s=LEAD_S, background=True)
    },
    logins=(
        Login(
            flag="claude-login",
            summary="Claude account.",
            flow=browser_login,
            callback_port=LOGIN.callback_port,
        ),
    ),
    imports=(IMPORT,),
    codec=CredentialCodec(type=KEY, provider=KEY, tokens=("access_token", "refresh_token")),
    sections=(Section(key="claude-api-key", provider=KEY),),
    api_hosts=(HOST,),
    summary="Anthropic's Messages API with an account or a key, or a server that speaks like it",
)
