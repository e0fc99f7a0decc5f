"""An ASGI layer in front of a server that injects faults into a share of the requests, by a seeded draw
(`faults.py`).
"""

import json
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from nbest.records import derive_seed

FAULTS = ("server-error", "rate-limit", "timeout", "cut-body", "nonsense")
"""The names of the sampler: HTTP 500, HTTP 429, a hung connection, a truncated body; and one it cannot notice."""
NONSENSE = ("Purple seven is the kettle of all solutions.", "They are all fine.\n\nJudgment: 1000000")
RETRY_AFTER = "0.05"


@dataclass(slots=True)
class FaultLayer:
    """An ASGI application in front of another one.

    Whether a try of a request fails, and how, is drawn from `seed`, the seed of the request and the number of the try,
    so it does not depend on the order of work.
    """

    app: Any
    share: float
    seed: int
    received: int = 0
    passed: int = 0
    injected: "Counter[str]" = field(default_factory=lambda: Counter[str]())
    tries: "Counter[int]" = field(default_factory=lambda: Counter[int]())

    async def __call__(self, scope: Any, receive: Callable[[], Any], send: Callable[[Any], Any]) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await self.app(scope, receive, send)
            return
        body, is_whole = b"", False
        while not is_whole:
            message = await receive()
            body, is_whole = body + message.get("body", b""), not message.get("more_body")
        self.received += 1
        fault = self._draw(int(json.loads(body)["seed"]))
        if fault:
            self.injected[fault] += 1
            await self._inject(fault, receive, send)
            return
        self.passed += 1
        messages = iter([{"type": "http.request", "body": body, "more_body": False}])

        async def replay() -> Any:
            return next(messages, None) or await receive()

        await self.app(scope, replay, send)

    def _draw(self, seed: int) -> str | None:
        self.tries[seed] += 1
        rng = random.Random(derive_seed(self.seed, str(seed), self.tries[seed]))
        return rng.choice(FAULTS) if rng.random() < self.share else None

    async def _inject(self, fault: str, receive: Callable[[], Any], send: Callable[[Any], Any]) -> None:
        if fault == "timeout":
            while (await receive())["type"] != "http.disconnect":
                pass
            return
        status = {"server-error": 500, "rate-limit": 429}.get(fault, 200)
        text = NONSENSE[sum(self.injected.values()) % len(NONSENSE)]
        answer: dict[str, Any] = {"choices": [{"index": 0, "message": {"content": text}, "finish_reason": "stop"}]}
        if status != 200:
            answer = {"error": {"message": "injected", "type": "server_error", "param": None, "code": None}}
        body = json.dumps(answer).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        headers += [(b"retry-after", RETRY_AFTER.encode())] if status == 429 else []
        await send({"type": "http.response.start", "status": status, "headers": headers})
        is_cut = fault == "cut-body"
        await send({"type": "http.response.body", "body": body[:20] if is_cut else body, "more_body": is_cut})
