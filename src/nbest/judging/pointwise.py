"""A pointwise judge: a model says of each candidate alone whether it is right (GenRM, arXiv 2408.15240).

Rules beyond those of `judging/selectors.py`
    Every candidate is judged `repeats` times. A judgement counts p(yes): where the completion has log-probabilities
    and the text of its tokens is known, exp(l) for yes and 1 - exp(l) for no, l being the log-probability of the token
    that begins the word; else 1 for yes and 0 for no. A candidate's value is the mean over its judgements, so without
    log-probabilities it is the share of yes.
    The highest value wins, of equal ones the lowest index. Judgements that finally failed are left out and told; a
    candidate without any cannot win; where no candidate has one there is no judgement.

This module does not know models or runs, and never sees a target.
"""

import math
from collections.abc import Callable

from nbest.judging.candidates import Slate
from nbest.judging.conversation import Sitting
from nbest.judging.prompts import parse_pointwise, render_pointwise
from nbest.judging.selectors import Choice, GenerativeSelector
from nbest.judging.windows import Candidate
from nbest.loop_thread import gather_all
from nbest.records import Completion, Pool


class PointwiseSelector(GenerativeSelector):
    """Picks the candidate that is most probably called right."""

    name = "genrm"

    async def _choose(self, pool: Pool, slate: Slate, sitting: Sitting) -> Choice:
        repeats = self._setting.repeats
        values = await gather_all(
            [self._ask(pool, each, sitting, number) for each in slate.candidates for number in range(repeats)]
        )
        means: dict[int, float] = {}
        for at, candidate in enumerate(slate.candidates):
            known = [value for value in values[at * repeats : (at + 1) * repeats] if value is not None]
            if known:
                means[candidate.place] = math.fsum(known) / len(known)
        if not means:
            return Choice(None, f"none of {len(values)} judgements could be read")
        best = max((each for each in slate.candidates if each.place in means), key=lambda each: means[each.place])
        notes: list[str] = []
        if failed := values.count(None):
            notes.append(f"{failed} of {len(values)} judgements failed and were left out")
        if silent := len(slate.candidates) - len(means):
            notes.append(f"{silent} of {len(slate.candidates)} candidates have no judgement")
        return Choice(best, "; ".join(notes))

    async def _ask(self, pool: Pool, candidate: Candidate, sitting: Sitting, number: int) -> float | None:
        """p(yes) of one judgement."""

        def read(completion: Completion) -> tuple[float | None, str]:
            found = parse_pointwise(completion.text, completion.finish)
            if found.is_right is None:
                return None, found.fault
            exact = read_probability(completion, found.is_right, self._setting.token_text)
            return (float(found.is_right) if exact is None else exact), ""

        prompt = render_pointwise(pool.prompt, candidate.text, pool.kind, self._setting.format.style)
        identity = pool.trajectories[candidate.place].id
        return await sitting.ask(prompt, f"right? {identity} {number}", read)


def read_probability(completion: Completion, is_right: bool, token_text: Callable[[int], str] | None) -> float | None:
    """p(yes) from the log-probability of the token that begins the verdict; None where it cannot be known."""
    logprobs = completion.logprobs
    if token_text is None or logprobs is None or not len(logprobs) or len(logprobs) != len(completion.tokens):
        return None
    pieces = [token_text(int(token)) for token in completion.tokens]
    found = parse_pointwise("".join(pieces), completion.finish)
    if found.is_right is not is_right:
        return None
    end = 0
    for piece, logprob in zip(pieces, logprobs, strict=True):
        end += len(piece)
        if end > found.start:
            chance = math.exp(min(float(logprob), 0.0))
            return chance if is_right else 1.0 - chance
    return None
