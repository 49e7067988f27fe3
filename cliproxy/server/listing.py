"""Model lists: one set of models, in the shape the client understands."""

from collections.abc import Sequence

from attrs import frozen
from quart import Response, request

from cliproxy.catalog.registry import Listing
from cliproxy.dialects.base import Dialect, ListedModel, ModelLists
from cliproxy.errors import ModelNotFound, ProxyError
from cliproxy.server.render import error_response, json_response
from cliproxy.server.world import World, headers_of, query_of


@frozen
class ShowModels:
    """Serves a list path that one or several dialects share; the last dialect is for everybody else."""

    world: World
    dialects: tuple[Dialect, ...]

    def _chosen(self) -> tuple[Dialect, ModelLists]:
        headers, query = headers_of(request), query_of(request)
        shapes = [(dialect, dialect.models) for dialect in self.dialects if dialect.models is not None]
        return next((pair for pair in shapes if pair[1].claims(headers, query)), shapes[-1])

    async def every(self) -> Response:
        """Show all models."""
        dialect, shape = self._chosen()
        try:
            models = self._models()
        except ProxyError as exc:
            return error_response(exc, dialect)
        return json_response(shape.encode_list(models))

    async def one(self, model: str) -> Response:
        """Show one model."""
        dialect, shape = self._chosen()
        wanted = model.removeprefix("models/")
        try:
            found = next((entry for entry in self._models() if entry.id in {model, wanted}), None)
            if found is None:
                raise ModelNotFound(wanted)
        except ProxyError as exc:
            return error_response(exc, dialect)
        return json_response(shape.encode_one(found))

    def _models(self) -> Sequence[ListedModel]:
        client = self.world.keys().admit(headers_of(request), query_of(request))
        registry = self.world.deps.snapshot().registry.visible(client.allowance)
        return [listed(entry) for entry in registry.listing(self.world.is_usable)]


def listed(entry: Listing) -> ListedModel:
    """Turn a registry entry into what dialects show."""
    info = entry.info
    label = info.display_name or entry.name
    return ListedModel(
        id=entry.name,
        display_name=label,
        description=info.description,
        owned_by=info.owned_by or ",".join(entry.providers),
        created=info.created,
        context_tokens=info.context_tokens,
        output_tokens=info.output_tokens,
        input_modalities=info.input_modalities,
        output_modalities=info.output_modalities,
        thinking=info.thinking,
    )
