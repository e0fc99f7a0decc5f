"""A sampler without a model, for tests, examples and dry runs: the caller sets the reply to each seed.

It is deterministic and does not import torch. Its completions have no tokens unless the replies have them.
"""

import inspect
from collections.abc import AsyncGenerator, Callable, Sequence

from nbest.errors import ConfigError, UnavailableError
from nbest.protocols import PolicyDescription, Sampler
from nbest.records import Completion, Message, SamplingParams, WorkReport
from nbest.sampling.tokenizing import join_contents

Reply = Callable[[str, int], str | Completion]


class ScriptedSampler(Sampler):
    """Replies from a function `(prompt, seed) -> text or Completion`, or from a list, in turn: `replies[seed % len]`.

    The prompt consists of the contents of the messages. A text becomes a Completion with `finish="stop"`. Where the
    function raises, the completion has `finish="error"` and the exception in its note, as with an engine. `calls` lists
    (prompt, seed) in order.
    """

    def __init__(self, reply: Reply | Sequence[str]):
        if not callable(reply) and (isinstance(reply, str) or not reply):
            raise ConfigError("reply: it must be a function (prompt, seed) -> text, or a list of at least one text")
        if inspect.iscoroutinefunction(reply):
            raise ConfigError("reply: got an async function; it must be an ordinary one")
        self._reply = reply
        self.calls: list[tuple[str, int]] = []

    async def sample(
        self, messages: Sequence[Message], seeds: Sequence[int], params: SamplingParams
    ) -> AsyncGenerator[tuple[int, Completion], None]:
        """Yield one reply per seed, in their order. Raises UnavailableError where `params.capture` is set."""
        self.check(params)
        for seed in seeds:
            yield seed, self._complete(join_contents(messages), seed)

    def check(self, params: SamplingParams) -> None:
        if params.capture is not None:
            raise UnavailableError(
                "capture: a scripted sampler has no model and no hidden states; leave capture out, or use a "
                "TransformersSampler"
            )

    def describe(self) -> PolicyDescription:
        script = [] if callable(self._reply) else list(self._reply)
        return PolicyDescription({"type": "scripted", "script": script}, {})

    @property
    def vocabulary(self) -> None:
        return None

    def count_flops(self, prompt_tokens: int, sampled_tokens: int) -> float:
        """Return 0: there is no model."""
        del prompt_tokens, sampled_tokens
        return 0.0

    def report(self) -> WorkReport:
        return WorkReport(calls=len(self.calls))

    def _complete(self, prompt: str, seed: int) -> Completion:
        self.calls.append((prompt, seed))
        if not callable(self._reply):
            return Completion(text=self._reply[seed % len(self._reply)], finish="stop")
        try:
            reply = self._reply(prompt, seed)
        except Exception as error:  # noqa: BLE001 - a failed draw is data: the note says what happened
            return Completion(text="", finish="error", note=f"{type(error).__name__}: {error}")
        return Completion(text=reply, finish="stop") if isinstance(reply, str) else reply
