"""All emulated vendors in one process."""

import pytest

from emulators.engine import EmulatorClock
from emulators.values import as_object
from emulators.vendors import PARTS, Vendors


def pending(vendors: Vendors, name: str) -> object:
    return as_object(as_object(vendors.state()[name])["oauth"])["pending"]


def test_a_reset_leaves_what_it_was_started_with_and_nothing_else() -> None:
    vendors = Vendors(EmulatorClock())
    vendors.configure({"port": 1, "control_port": 2, "kimi": {"oauth": {"pending": 7}}})
    began = vendors.state()
    vendors.configure({"kimi": {"oauth": {"pending": 0}}, "qwen": {"oauth": {"pending": 0}}})
    vendors.configure({"google": {"antigravity": {"quota": {"somewhere": "4h"}}}})
    assert vendors.state() != began
    vendors.reset()
    assert vendors.state() == began
    assert pending(vendors, "kimi") == 7


def test_vendors_that_nobody_plays_are_named() -> None:
    with pytest.raises(ValueError, match="unknown vendor: nobody"):
        Vendors(EmulatorClock()).configure({"nobody": {}})


def test_every_host_is_one_vendors() -> None:
    assert len(Vendors(EmulatorClock()).hosts) == sum(len(part.HOSTS) for part in PARTS)
