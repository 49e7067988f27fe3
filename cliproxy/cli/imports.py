"""``login -import``: take over the logins of the vendors' own programs.

A login that two programs share lasts as long as its refresh token does. Where the vendor takes back the old
one at each renewal, whoever renews second is logged out; the owner is told so. For the same reason an older
copy never replaces newer tokens of the account that are here already.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from attrs import frozen

from cliproxy.cli.desk import NEXT, Desk
from cliproxy.cli.exits import FAILURE, OK
from cliproxy.cli.output import complain
from cliproxy.errors import LoginError
from cliproxy.login.account import end_of
from cliproxy.providers.base import Import, LoginResult, Provider
from cliproxy.service.imports import place_of, read


@frozen(kw_only=True)
class Place:
    """A file that may hold a login of another program."""

    provider: Provider
    source: Import
    path: Path


def places(providers: Sequence[Provider], wanted: str = "") -> list[Place]:
    """Return where logins may be found: of one provider, or of all."""
    home = Path.home()
    return [
        Place(provider=provider, source=source, path=place_of(source, os.environ, home))
        for provider in providers
        if wanted in ("", provider.key)
        for source in provider.imports
    ]


def nothing_to_take_over(providers: Sequence[Provider], wanted: str) -> int:
    """Say that a provider has no program of its own whose login could be used; return the exit code."""
    known = ", ".join(provider.key for provider in providers if provider.imports)
    complain(f"{wanted} has no program whose login could be taken over; these have: {known}")
    return FAILURE


async def take_over(desk: Desk, candidates: Sequence[Place]) -> int:
    """Take over every login that is there, and return the exit code."""
    outcomes = [await _take_over(desk, place) for place in candidates]
    found = [outcome for outcome in outcomes if outcome is not None]
    if not found:
        looked = "\n".join(f"{place.source.program}: {place.path}" for place in candidates)
        complain(f"no login to take over was found. Looked for:\n{looked}")
        return FAILURE
    if any(found):
        desk.tell(NEXT)
    return OK if all(found) else FAILURE


async def _take_over(desk: Desk, place: Place) -> bool | None:
    """Take over one login; ``None`` when there is none, false when it could not be used."""
    try:
        document = await read(place.path)
        if document is None:
            return None
        result = await desk.log_in(place.source.flow(document, desk.inputs))
    except LoginError as exc:
        complain(f"{place.source.program}, {place.path}: {exc.explained}")
        return False
    desk.tell(f"{place.source.program}, {place.path}: the login of {result.label}.")
    await _keep(desk, result, place)
    return True


async def _keep(desk: Desk, result: LoginResult, place: Place) -> None:
    here, there = end_of(await desk.known(result.file_name)), end_of(result.data)
    if here is not None and (there is None or here > there):
        desk.tell(
            f"  {result.file_name} holds newer tokens of this account and stays. Delete it to use these."
        )
        return
    desk.tell(f"  Saved to {await desk.keep(result)}")
    for note in (*result.notes, *_warning(place)):
        desk.tell(f"  {note}")


def _warning(place: Place) -> tuple[str, ...]:
    """Say what sharing a login means."""
    if not place.source.rotates:
        return ()
    program, own = place.source.program, place.provider.logins[0].flag
    return (
        f"{program} and cliproxy now share one login, whose refresh token is good for one renewal: whoever",
        f"renews second is logged out. `cliproxy -{own}` gives cliproxy a login of its own.",
    )
