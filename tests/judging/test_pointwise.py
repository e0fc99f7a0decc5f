import math

import numpy as np
import pytest

from nbest.judging.conversation import RetrySettings
from nbest.judging.pointwise import PointwiseSelector, read_probability
from nbest.records import Completion
from tests.scoring.judges import make_pool, make_settings

PIECES = ["Judgment", ":", " Y", "es", " no", "<end>", " Yes"]


def completion(*tokens, logprobs):
    text = "".join(PIECES[token] for token in tokens).removesuffix("<end>")
    return Completion(
        text, tokens=np.array(tokens, np.int32), logprobs=np.log(np.array(logprobs, np.float32)), finish="stop"
    )


@pytest.mark.parametrize(
    ("done", "is_right", "chance"),
    [
        (completion(0, 1, 6, 5, logprobs=[1, 1, 0.8, 0.1]), True, 0.8),
        (completion(0, 1, 4, logprobs=[1, 1, 0.7]), False, 0.3),
        # Of a word in two tokens the first one counts.
        (completion(0, 1, 2, 3, logprobs=[1, 1, 0.6, 0.9]), True, 0.6),
        # The last verdict counts.
        (completion(0, 1, 4, 0, 1, 6, logprobs=[1, 1, 0.5, 1, 1, 0.25]), True, 0.25),
    ],
)
def test_p_yes_is_read_from_the_token_of_the_verdict(done, is_right, chance):
    assert read_probability(done, is_right, PIECES.__getitem__) == pytest.approx(chance)


def test_where_it_cannot_be_known():
    done = completion(0, 1, 6, logprobs=[1, 1, 0.8])
    assert read_probability(done, True, None) is None
    assert read_probability(Completion("Judgment: yes", finish="stop"), True, PIECES.__getitem__) is None
    assert read_probability(done, False, PIECES.__getitem__) is None


async def test_the_highest_mean_of_p_yes_wins():
    def reply(prompt, _seed):
        return completion(0, 1, 6, logprobs=[1, 1, 0.9 if "good" in prompt else 0.6])

    settings = make_settings(reply, repeats=2, token_text=PIECES.__getitem__)
    selection = await PointwiseSelector(settings).select(make_pool("1: fair", "2: good", "1: poor"))
    assert (selection.index, selection.confidence, settings.judge.counts.calls) == (1, None, 6)


async def test_without_log_probabilities_it_is_the_share_of_yes():
    yes = {"1: a": 1, "2: b": 3, "3: c": 3}
    call_counts = dict.fromkeys(yes, 0)

    def reply(prompt, _seed):
        text = prompt.partition("Candidate:\n")[2]
        call_counts[text] += 1
        return f"Judgment: {'yes' if call_counts[text] <= yes[text] else 'no'}"

    # 1/4, 3/4, 3/4: of equal ones the lowest index.
    selection = await PointwiseSelector(make_settings(reply, repeats=4)).select(make_pool(*yes))
    assert selection.index == 1


async def test_what_failed_is_left_out_and_told():
    def reply(prompt, _seed):
        return "?" if "b" in prompt else "Judgment: no"

    settings = make_settings(reply, RetrySettings(retries=0), repeats=2)
    selection = await PointwiseSelector(settings).select(make_pool("1: a", "2: b"))
    assert selection.index == 0
    assert selection.note == "2 of 4 judgements failed and were left out; 1 of 2 candidates has no judgement"
    nobody = PointwiseSelector(make_settings(lambda *_: "?", repeats=1))
    assert (await nobody.select(make_pool("1: a", "2: b"))).note.startswith("no judgement: none of 2 judgements")
    assert math.isclose(nobody.counts.failed["unparsed"], 2)
