"""GitLab Duo: models through a GitLab account, on gitlab.com or an instance of one's own.

The wire in short. An account token (personal, or OAuth with a rotating refresh token) opens the REST API
under ``{instance}/api/v4``. There it is exchanged for short-lived gateway tokens:
``ai/third_party_agents/direct_access`` for the agent platform, ``code_suggestions/direct_access`` for Code
Suggestions. With those, requests go past GitLab straight to a model gateway that passes them on to
Anthropic's Messages and OpenAI's APIs. Where neither is open to the account, GitLab's own text endpoints
remain.

==============  ==============================================================================================
``instance``    addresses, REST calls, what refusals mean
``access``      the three tokens and how each is renewed
``models``      which model a name means; ``discovery`` asks which ones an account has
``contracts``   the ways to a model, in order; ``fill`` for completions in the middle of a file
``tiers``       which of the ways are open to an account
``login``       the two logins; ``check`` tells an owner what the account can do
==============  ==============================================================================================
"""

from typing import Final

from cliproxy.config.sections import Section
from cliproxy.credentials.files import CredentialCodec
from cliproxy.credentials.model import TokenSlot
from cliproxy.providers.base import Login, Provider
from cliproxy.providers.gitlab.access import CALLBACK_PORT, SLOTS
from cliproxy.providers.gitlab.check import check
from cliproxy.providers.gitlab.contracts import LIMITS, contracts_for
from cliproxy.providers.gitlab.discovery import discover
from cliproxy.providers.gitlab.login import OAUTH_CLIENT, oauth_flow, token_login
from cliproxy.providers.gitlab.models import static_models

PROVIDER: Final = Provider(
    key="gitlab",
    label="GitLab Duo",
    contracts_for=contracts_for,
    static_models=static_models,
    discover=discover,
    discover_needs=TokenSlot.ACCOUNT,
    check=check,
    slots=SLOTS,
    limits=LIMITS,
    oauth_client=OAUTH_CLIENT,
    logins=(
        Login(
            flag="gitlab-token-login",
            name="token",
            summary="GitLab Duo with a personal access token",
            flow=token_login,
        ),
        Login(
            flag="gitlab-login",
            name="oauth",
            summary="GitLab Duo with an OAuth application",
            flow=oauth_flow,
            callback_port=CALLBACK_PORT,
        ),
    ),
    codec=CredentialCodec(
        type="gitlab",
        provider="gitlab",
        tokens=("access_token", "personal_access_token"),
        label_from=("label", "username", "email"),
    ),
    sections=(Section(key="gitlab-api-key", provider="gitlab"),),
    api_hosts=("gitlab.com", "cloud.gitlab.com"),
    summary="Claude and GPT models with a GitLab Duo seat, on gitlab.com or self-managed",
)

__all__ = ["PROVIDER"]
