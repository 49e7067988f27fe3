"""Calls that clients make besides those for a model, answered here: see
:class:`~cliproxy.dialects.base.SideCall`."""

from typing import Final

from attrs import frozen
from quart import Request, Response

from cliproxy.dialects.base import Dialect, SideCall
from cliproxy.errors import ProxyError
from cliproxy.server.body import read_json
from cliproxy.server.local import admit
from cliproxy.server.render import error_response, json_response
from cliproxy.server.world import World, headers_of, query_of

_WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH"})


@frozen
class AnswerHere:
    """Answers one side call of a dialect."""

    world: World
    dialect: Dialect
    call: SideCall

    async def __call__(self, request: Request, _path_arguments: dict[str, str]) -> Response:
        """Handle a request."""
        try:
            admit(self.world, request, headers_of(request), query_of(request), is_local=self.call.is_local)
            body = (
                (await read_json(request, self.world.body_limit())).value
                if self.call.method in _WITH_BODY
                else {}
            )
        except ProxyError as exc:
            return error_response(exc, self.dialect)
        return json_response(self.call.answer(body))
