"""Alerts to a webhook: signed, tried again, in order, and never in the way of anything else."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import time
from collections import deque
from typing import Any
from uuid import uuid4

from aural.insight.settings import Webhook
from aural.metrics import Metrics
from aural.serving.outbound import Unreachable, dumps, post

log = logging.getLogger("aural.webhook")

MOST_WAITING = 1000
"""Deliveries that may wait; the oldest is dropped for a new one, and counted."""
FIRST_PAUSE_S = 0.5
"""Before the second attempt; doubled before each further one."""
LAST_S = 3.0
"""How long what waits may still take when the server stops."""
SIGNATURE, DELIVERY = "X-Aural-Signature", "X-Aural-Delivery"


def signature(secret: str, timestamp: int, body: bytes) -> str:
    """`t=TIME,v1=HEX`: HMAC-SHA256 of `TIME.BODY`, as Stripe signs, so that a recording cannot be sent again later."""
    digest = hmac.new(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={timestamp},v1={digest}"


class Hooks:
    """Delivers to one webhook."""

    def __init__(self, webhook: Webhook, metrics: Metrics) -> None:
        self._webhook = webhook
        self._metrics = metrics
        self._waiting: deque[tuple[str, bytes]] = deque()
        self._task: asyncio.Task[None] | None = None
        self._owed = 0
        """Deliveries whose outcome is not counted yet."""

    def deliver(self, body: dict[str, Any]) -> None:
        """Send it when its turn comes."""
        if len(self._waiting) >= MOST_WAITING:
            self._waiting.popleft()
            self._count("dropped")
        self._waiting.append((uuid4().hex, dumps(body)))
        self._owed += 1
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._work())

    async def stop(self) -> None:
        """What waits is delivered, as far as that can be done in time; the rest is counted and told."""
        if self._task:
            await asyncio.wait({self._task}, timeout=LAST_S)
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._owed:
            log.warning("alerts not delivered: the server stops", extra={"dropped": self._owed})
            self._waiting.clear()
            self._count("dropped", self._owed)

    async def _work(self) -> None:
        while self._waiting:
            name, body = self._waiting.popleft()
            self._count("delivered" if await self._delivered(name, body) else "failed")

    def _count(self, outcome: str, deliveries: int = 1) -> None:
        self._metrics.webhooks.labels(outcome).inc(deliveries)
        self._owed -= deliveries

    async def _delivered(self, name: str, body: bytes) -> bool:
        for attempt in range(self._webhook.attempts):
            if attempt:
                await asyncio.sleep(FIRST_PAUSE_S * 2 ** (attempt - 1))
            try:
                reply = await post(self._webhook.url, body, self._headers(name, body), self._webhook.timeout_s)
            except Unreachable as error:
                why = str(error)
            else:
                if reply.status < 300:
                    return True
                why = f"status {reply.status}"
                if 300 <= reply.status < 500 and reply.status not in (408, 429):
                    break  # it will not like it better the next time
        log.warning("webhook failed", extra={"delivery": name, "error": why})
        return False

    def _headers(self, name: str, body: bytes) -> dict[str, str]:
        signed = {SIGNATURE: signature(self._webhook.secret, int(time.time()), body)} if self._webhook.secret else {}
        return {DELIVERY: name, **signed}
