"""A container whose WebSocket says back what it hears, and closes as it is told."""

from __future__ import annotations

import asyncio
import os

from websockets.asyncio.server import Request, Response, ServerConnection, serve


def ping(connection: ServerConnection, request: Request) -> Response | None:
    return connection.respond(200, "") if request.path == "/ping" else None


async def echo(connection: ServerConnection) -> None:
    assert connection.request is not None
    await connection.send(connection.request.path)
    async for message in connection:
        word, _, rest = (message if isinstance(message, str) else "").partition(" ")
        if word == "close":
            await connection.close(int(rest), "as told")
        elif word == "pieces":
            await connection.send(rest.split())
        elif word == "die":
            os._exit(3)
        else:
            await connection.send(message)


async def main() -> None:
    async with serve(echo, "127.0.0.1", int(os.environ["SAGEMAKER_BIND_TO_PORT"]), process_request=ping) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
