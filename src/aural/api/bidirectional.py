"""SageMaker's bidirectional stream: the Realtime API at the address that the platform opens.

WS /invocations-bidirectional-stream. The platform wants the socket accepted within 250 ms, ends it after 30 minutes,
may carry events in binary frames, and shows its caller no refused handshake: whatever is wrong is said in a frame
before the close. Before the 30 minutes are over the server ends the session between two utterances and says where to
go on.
"""

from __future__ import annotations

from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from aural.api.realtime import Term, converse

TERM = Term(longest_s=28 * 60.0)
"""Two minutes before the platform's limit: the utterance that is open may end, and what is unheard be heard."""


async def stream(socket: WebSocket) -> None:
    await converse(socket, TERM)


routes = [WebSocketRoute("/invocations-bidirectional-stream", stream)]
