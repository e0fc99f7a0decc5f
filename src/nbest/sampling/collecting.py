"""Collects all completions of one call, for callers that do not use them one by one.

This module does not know which engine samples.
"""

from collections import defaultdict, deque
from collections.abc import Sequence
from contextlib import aclosing

from nbest.protocols import Sampler
from nbest.records import Completion, Message, SamplingParams


async def collect(
    sampler: Sampler, messages: Sequence[Message], seeds: Sequence[int], params: SamplingParams
) -> list[Completion]:
    """Return one completion per seed, in the order of `seeds`, which may repeat. Raises what the sampler raises."""
    completions: defaultdict[int, deque[Completion]] = defaultdict(deque)
    async with aclosing(sampler.sample(messages, seeds, params)) as finished:
        async for seed, completion in finished:
            completions[seed].append(completion)
    return [completions[seed].popleft() for seed in seeds]
