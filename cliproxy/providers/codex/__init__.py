"""Codex: OpenAI's coding models, with a ChatGPT account or with a key.

The wire, in short::

    auth.openai.com/oauth/authorize                  the login in the browser, back to port 1455
    auth.openai.com/api/accounts/deviceauth/…        the login by a code, in a form of the vendor's own
    POST auth.openai.com/oauth/token                 form: codes and renewals; refresh tokens rotate

    POST {base}/responses             dialect codex; always answers with a stream
    POST {base}/responses/compact     dialect openai-response; one body
    POST {base}/responses/input_tokens  the same; where the address is that of the vendor's API
    POST {base}/images/generations    and /images/edits, dialect openai-images
    POST {base}/embeddings            dialect openai; not at the vendor's backend
    Authorization: Bearer {key or access token}
    Chatgpt-Account-Id: {account}     with access tokens: which of the person's accounts pays
    Session-Id, Conversation_id       where the conversation is known: the server caches prompts by it

The base is the vendor's backend, or with a key any server that speaks like it. An account's plan, which its
ID token names, decides which models it has.

==============  ==============================================================================================
``contracts``   the routes, prepared requests, refusals
``account``     whose tokens these are, the file, the renewal
``login``       the logins, and taking over the login of the vendor's own command line
==============  ==============================================================================================
"""

from typing import Final

from cliproxy.catalog import static
from cliproxy.catalog.model import ModelInfo
from cliproxy.config.sections import Section
from cliproxy.credentials.files import CredentialCodec
from cliproxy.credentials.model import Credential, CredentialKind, TokenSlot
from cliproxy.providers.base import Login, Provider, SlotPolicy
from cliproxy.providers.codex.account import KEY, LEAD_S, LOGIN, identity_of, initial, plan_of, renew
from cliproxy.providers.codex.contracts import HOST, contracts_for
from cliproxy.providers.codex.login import IMPORT, browser_login, device_login

__all__ = ["PROVIDER"]


def catalogue_plan(credential: Credential) -> str:
    """Return the plan of an account; a key says nothing about a plan."""
    return plan_of(credential) if credential.kind is CredentialKind.ACCOUNT else ""


def static_models(credential: Credential) -> tuple[ModelInfo, ...]:
    """Return the models of the entry or of the account's plan."""
    return static.models_of(credential, KEY, catalogue_plan(credential))


def facts(credential: Credential) -> tuple[str, ...]:
    """Return the account's plan, as OpenAI calls it."""
    plan = identity_of(credential.data).plan
    return (f"plan {plan}",) if plan else ()


PROVIDER: Final = Provider(
    key=KEY,
    label="Codex",
    contracts_for=contracts_for,
    static_models=static_models,
    plan_of=catalogue_plan,
    facts=facts,
    slots={TokenSlot.ACCOUNT: SlotPolicy(initial=initial, renew=renew, lead_s=LEAD_S, background=True)},
    logins=(
        Login(
            flag="codex-login",
            name="browser",
            summary="OpenAI Codex, through the browser.",
            flow=browser_login,
            callback_port=LOGIN.callback_port,
        ),
        Login(
            flag="codex-device-login",
            name="device",
            summary="OpenAI Codex, with a device code.",
            flow=device_login,
        ),
    ),
    imports=(IMPORT,),
    codec=CredentialCodec(type=KEY, provider=KEY, tokens=("access_token", "refresh_token")),
    sections=(Section(key="codex-api-key", provider=KEY),),
    api_hosts=(HOST,),
    summary="OpenAI's coding models, with a ChatGPT account or a key",
)
