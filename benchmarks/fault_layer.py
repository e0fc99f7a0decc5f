"""A layer before a server that spoils a share of the requests by a seeded draw. For `faults.py`."""

import json
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from nbest.records import derive_seed

FAULTS = ("server-error", "rate-limit", "timeout", "cut-body", "nonsense")
"""As the sampler names them: HTTP 500, HTTP 429, a hung connection, a cut body; and what no sampler can notice."""
NONSENSE = ("Purple seven is the kettle of all solutions.", "They are all fine.\n\nJudgment: 1000000")
RETRY_AFTER = "0.05"


@dataclass(slots=True)
class FaultLayer:
    """An ASGI application before another one. Which attempt at a request goes wrong, and how, is a draw from `seed`,
    the request's own seed and the number of the attempt: the same in every order of work."""

    app: Any
    share: float
    seed: int
    received: int = 0
    passed: int = 0
    injected: "Counter[str]" = field(default_factory=lambda: Counter[str]())
    attempts: "Counter[int]" = field(default_factory=lambda: Counter[int]())

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
            await self._spoil(fault, receive, send)
            return
        self.passed += 1
        messages = iter([{"type": "http.request", "body": body, "more_body": False}])

        async def replay() -> Any:
            return next(messages, None) or await receive()

        await self.app(scope, replay, send)

    def _draw(self, seed: int) -> str | None:
        self.attempts[seed] += 1
        drawn = random.Random(derive_seed(self.seed, str(seed), self.attempts[seed]))
        return drawn.choice(FAULTS) if drawn.random() < self.share else None

    async def _spoil(self, fault: str, receive: Callable[[], Any], send: Callable[[Any], Any]) -> None:
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
