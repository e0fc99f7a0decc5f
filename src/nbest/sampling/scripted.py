"""A sampler without a model, for tests, examples and dry runs: the caller says what each seed replies.

Deterministic, public and free of torch. It has no tokens of its own unless the replies hold them.
"""

import inspect
from collections.abc import Callable, Sequence

from nbest.errors import ConfigError, UnavailableError
from nbest.records import Completion, SamplingParams

Reply = Callable[[str, int], str | Completion]


class ScriptedSampler:
    """Replies from a function `(prompt, seed) -> text or Completion`, or from a list, in turn: `replies[seed % len]`.

    A text becomes a Completion with `finish="stop"`. A reply function that raises makes that attempt a completion
    with `finish="error"` and the exception in its note, as an engine does. `calls` keeps (prompt, seed), in order.
    """

    def __init__(self, reply: Reply | Sequence[str]):
        if not callable(reply) and (isinstance(reply, str) or not reply):
            raise ConfigError("reply: a function (prompt, seed) -> text, or a list of at least one text, is needed")
        if inspect.iscoroutinefunction(reply):
            raise ConfigError("reply: the function must not be async")
        self._reply = reply
        self.calls: list[tuple[str, int]] = []

    async def sample(self, prompt: str, seeds: Sequence[int], params: SamplingParams) -> list[Completion]:
        """One completion a seed. Of `params`, only `capture` is looked at: UnavailableError where it is set."""
        if params.capture is not None:
            raise UnavailableError(
                "capture: a scripted sampler has no model and no hidden states; leave capture out, or use a "
                "TransformersSampler"
            )
        return [self._complete(prompt, seed) for seed in seeds]

    def _complete(self, prompt: str, seed: int) -> Completion:
        self.calls.append((prompt, seed))
        if not callable(self._reply):
            return Completion(text=self._reply[seed % len(self._reply)], finish="stop")
        try:
            reply = self._reply(prompt, seed)
        except Exception as error:  # noqa: BLE001 - a failed attempt is data: the note says what happened
            return Completion(text="", finish="error", note=f"{type(error).__name__}: {error}")
        return Completion(text=reply, finish="stop") if isinstance(reply, str) else reply
