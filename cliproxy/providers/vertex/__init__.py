"""Vertex AI: Gemini in a Google Cloud project, with a service account or an API key.

The wire, in short::

    POST {location}-aiplatform.googleapis.com/v1/projects/{project}/locations/{location}/publishers/google/…
         …/models/{model}:generateContent | :streamGenerateContent?alt=sse | :countTokens
    Authorization: Bearer {access token of the service account}

    POST aiplatform.googleapis.com/v1/publishers/google/models/{model}:…           with a key: no project
    x-goog-api-key: {key}

Bodies, answers and errors are those of the Gemini API. A service account is a file that its owner downloads
and imports; its access tokens last an hour and are got by signing for them.

=============  ===============================================================================================
``account``    the file of a service account, its import, its access tokens
``contracts``  prepared requests
=============  ===============================================================================================
"""

from typing import Final

from cliproxy.config.sections import Section
from cliproxy.credentials.files import CredentialCodec
from cliproxy.providers.base import Login, Provider
from cliproxy.providers.vertex.account import FLAG, KEY, SLOTS, import_account
from cliproxy.providers.vertex.contracts import HOST, contracts_for, static_models

PROVIDER: Final = Provider(
    key=KEY,
    label="Vertex AI",
    contracts_for=contracts_for,
    static_models=static_models,
    slots=SLOTS,
    logins=(Login(flag=FLAG, summary="Vertex AI, from a service account file.", flow=import_account),),
    codec=CredentialCodec(
        type=KEY,
        provider=KEY,
        tokens=("service_account.private_key",),
        label_from=("label", "email", "project_id"),
    ),
    sections=(Section(key="vertex-api-key", provider=KEY, proxy_in_id=True),),
    api_hosts=(HOST,),
    summary="Gemini models in a Google Cloud project, with a service account or an API key",
)

__all__ = ["PROVIDER"]
