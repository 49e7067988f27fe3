"""Which list of the configuration belongs to which provider.

A provider declares the lists it owns as :class:`Section` values; :mod:`cliproxy.credentials.synthesis` turns
their entries into credentials without knowing a provider by name.
"""

from attrs import frozen


@frozen(kw_only=True)
class Section:
    """A top-level list of the configuration whose entries are a provider's keys."""

    key: str
    """The list's name in the file, such as ``gitlab-api-key``."""
    provider: str
    """Key of the provider record."""
    kind: str = ""
    """First part of the credentials' ids; empty: ``<provider>:apikey``. Changing it changes every id."""
    proxy_in_id: bool = False
    """Whether one key with two proxies makes two ids that survive reordering."""
