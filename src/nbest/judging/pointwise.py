"""A pointwise judge: a model says of each candidate alone whether it is right (GenRM, arXiv 2408.15240).

Rules beyond those of `judging/selectors.py`
    Every candidate is judged `repeats` times, and each judgement gives p(yes). Where the completion has
    log-probabilities and the text of its tokens is known, that is exp(l) for yes and 1 - exp(l) for no, where l is the
    log-probability of the token that begins the word; elsewhere it is 1 for yes and 0 for no. A candidate's value is
    the mean over its judgements, so without log-probabilities it is the share of yes.
    The highest value wins, and the lowest index where values are equal. Judgements that finally failed do not count
    towards the mean; the note says how many there are. A candidate without any judgement cannot win; where no
    candidate has one, the selection has none.

This module does not know models or runs, and never sees a target.
"""

import math
from collections.abc import Callable

from nbest.judging.candidates import CandidateSet
from nbest.judging.conversation import Conversation
from nbest.judging.prompts import parse_pointwise, render_pointwise
from nbest.judging.selectors import Choice, GenerativeSelector
from nbest.judging.windows import Candidate
from nbest.loop_thread import gather_all
from nbest.plurals import agree, show_count, show_part
from nbest.records import Completion, Pool


class PointwiseSelector(GenerativeSelector):
    """Picks the candidate that the model most probably calls right."""

    name = "genrm"

    async def _choose(self, pool: Pool, candidate_set: CandidateSet, conversation: Conversation) -> Choice:
        repeats = self._settings.repeats
        values = await gather_all(
            [
                self._ask(pool, candidate, conversation, number)
                for candidate in candidate_set.candidates
                for number in range(repeats)
            ]
        )
        means: dict[int, float] = {}
        for index, candidate in enumerate(candidate_set.candidates):
            probabilities = [value for value in values[index * repeats : (index + 1) * repeats] if value is not None]
            if probabilities:
                means[candidate.position] = math.fsum(probabilities) / len(probabilities)
        if not means:
            return Choice(None, f"none of {show_count(len(values), 'judgement')} could be read")
        candidates = [candidate for candidate in candidate_set.candidates if candidate.position in means]
        best = max(candidates, key=lambda candidate: means[candidate.position])
        notes: list[str] = []
        if failed := values.count(None):
            notes.append(f"{show_part(failed, len(values), 'judgement')} failed and {agree(failed, 'was')} left out")
        if missing := len(candidate_set.candidates) - len(means):
            candidates_missing = show_part(missing, len(candidate_set.candidates), "candidate")
            notes.append(f"{candidates_missing} {agree(missing, 'has')} no judgement")
        return Choice(best, "; ".join(notes))

    async def _ask(self, pool: Pool, candidate: Candidate, conversation: Conversation, number: int) -> float | None:
        """Return p(yes) of one judgement; None if it finally failed."""

        def read(completion: Completion) -> tuple[float | None, str]:
            approval = parse_pointwise(completion.text, completion.finish)
            if approval.is_right is None:
                return None, approval.fault
            probability = read_probability(completion, approval.is_right, self._settings.token_text)
            return (float(approval.is_right) if probability is None else probability), ""

        prompt = render_pointwise(pool.prompt, candidate.text, pool.kind, self._settings.format.style)
        identity = pool.trajectories[candidate.position].id
        return await conversation.ask(prompt, f"right? {identity} {number}", read)


def read_probability(completion: Completion, is_right: bool, token_text: Callable[[int], str] | None) -> float | None:
    """Return p(yes) from the log-probability of the token that begins the word; None if it cannot be known."""
    logprobs = completion.logprobs
    if token_text is None or logprobs is None or not len(logprobs) or len(logprobs) != len(completion.tokens):
        return None
    token_texts = [token_text(int(token)) for token in completion.tokens]
    approval = parse_pointwise("".join(token_texts), completion.finish)
    if approval.is_right is not is_right:
        return None
    end = 0
    for text, logprob in zip(token_texts, logprobs, strict=True):
        end += len(text)
        if end > approval.start:
            probability = math.exp(min(float(logprob), 0.0))
            return probability if is_right else 1.0 - probability
    return None
