"""The part of an ASGI application that every one needs."""

from typing import Any


async def lived(scope: Any, receive: Any, send: Any) -> bool:
    """Take part in the server's start and stop if that is what is called for; tell whether it was."""
    if scope["type"] != "lifespan":
        return False
    while (kind := (await receive())["type"]) != "lifespan.shutdown":
        await send({"type": f"{kind}.complete"})
    await send({"type": "lifespan.shutdown.complete"})
    return True
