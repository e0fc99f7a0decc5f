import asyncio
from contextlib import aclosing

import pytest

from nbest.errors import ConfigError, EngineError, UnavailableError
from nbest.judging.conversation import Judge, JudgementCounts, RetrySettings
from nbest.judging.prompts import parse_genselect
from nbest.loop_thread import gather_all
from nbest.records import Usage
from nbest.sampling.scripted import ScriptedSampler
from tests.scoring.judges import SlowSampler, spend


def read(completion):
    reply = parse_genselect(completion.text, 2, completion.finish)
    return reply.index, reply.fault


def ask(sampler, retry=None, times=1, **more):
    """What `times` questions of one selection gave, the conversation, and the counts."""
    judge = Judge(sampler, retry or RetrySettings(), **more)
    conversation = judge.open("p")

    async def all_of_them():
        return [await conversation.ask("prompt", f"question {number}", read) for number in range(times)]

    return asyncio.run(all_of_them()), conversation, judge.counts


class Failing(ScriptedSampler):
    def __init__(self, *errors):
        super().__init__(["Judgment: 1"])
        self.errors = list(errors)

    async def sample(self, messages, seeds, params):
        if self.errors:
            raise self.errors.pop(0)
        async with aclosing(super().sample(messages, seeds, params)) as finished:
            async for seed, completion in finished:
                yield seed, completion


def test_a_readable_judgement_is_asked_once():
    reply, conversation, counts = ask(ScriptedSampler(lambda *_: spend("Judgment: 1", 7)))
    assert reply == [1]
    assert conversation.usage == Usage(7, 2, seconds=conversation.usage.seconds)
    assert (counts.calls, counts.judged, counts.prompt_tokens, counts.sampled_tokens) == (1, 1, 7, 2)
    assert not counts.retried
    assert not counts.failed


FAULTY = [
    ("unparsed", spend("nothing", 1)),
    ("out-of-range", spend("Judgment: 2", 1)),
    ("truncated", spend("Judgment: 1", 1, "length")),
    ("error", spend("", 1, "error")),
]


@pytest.mark.parametrize(("fault", "completion"), FAULTY)
def test_every_fault_is_retried_with_a_new_seed_then_counted_under_its_name(fault, completion):
    sampler = ScriptedSampler(lambda *_: completion)
    reply, conversation, counts = ask(sampler, RetrySettings(retries=2))
    assert reply == [None]
    assert len({seed for _, seed in sampler.calls}) == 3
    assert (dict(counts.retried), dict(counts.failed), dict(conversation.failed)) == (
        {fault: 2},
        {fault: 1},
        {fault: 1},
    )
    assert (counts.calls, counts.judged, counts.sampled_tokens) == (3, 0, 6)


def test_a_retry_that_can_be_read_counts():
    replies = [spend("nothing", 3), spend("Judgment: 5", 3), spend("Judgment: 0", 3)]
    reply, conversation, counts = ask(ScriptedSampler(lambda *_: replies.pop(0)))
    assert reply == [0]
    assert (dict(counts.retried), dict(counts.failed)) == ({"unparsed": 1, "out-of-range": 1}, {})
    # Failed tries cost as much as others: 3 calls of 3 prompt and 2 sampled tokens.
    assert (conversation.usage.prompt_tokens, conversation.usage.sampled_tokens) == (9, 6)


def test_an_engine_that_fails_is_a_fault():
    reply, _, counts = ask(Failing(EngineError("out of memory")))
    assert (reply, dict(counts.retried), counts.first_messages) == ([1], {"engine": 1}, {"engine": "out of memory"})


def test_what_cannot_be_asked_at_all_goes_on():
    with pytest.raises(UnavailableError, match="capture"):
        ask(Failing(UnavailableError("capture")))


def test_a_call_ends_at_its_deadline():
    reply, _, counts = ask(SlowSampler(60), RetrySettings(retries=1, deadline_seconds=0.01))
    assert (reply, dict(counts.retried), dict(counts.failed), counts.calls) == (
        [None],
        {"deadline": 1},
        {"deadline": 1},
        2,
    )


def test_behind_the_deadline_of_a_selection_nothing_is_asked():
    ticks = iter(range(0, 1000, 4))
    retry = RetrySettings(selection_seconds=10, retries=3)
    # The clock moves by 4 s at every look. The first question begins at 0 and is replied to in time.
    reply, conversation, counts = ask(
        ScriptedSampler(["Judgment: 1"]), retry, times=3, clock=lambda: float(next(ticks))
    )
    assert reply == [1, None, None]
    assert (counts.calls, dict(conversation.failed), dict(counts.retried)) == (1, {"deadline": 2}, {})


async def test_calls_of_all_selections_share_the_slots():
    sampler = SlowSampler(0.001)
    judge = Judge(sampler, RetrySettings(concurrency=3))
    tasks = [judge.open(f"p{at}").ask("prompt", "q", read) for at in range(12)]
    assert await gather_all(tasks) == [0] * 12
    assert sampler.most == 3


def test_a_judge_is_asked_in_one_loop_after_another():
    judge = Judge(SlowSampler(0.001), RetrySettings(concurrency=1))

    async def two_at_once():
        conversation = judge.open("p")
        return await gather_all([conversation.ask("prompt", str(number), read) for number in range(2)])

    # The second call waits for the slot of the first, so that the slot belongs to the loop that runs.
    assert asyncio.run(two_at_once()) == asyncio.run(two_at_once())
    assert judge.counts.calls == 4


def test_seeds_depend_on_problem_question_and_try_alone():
    first, second, other = (ScriptedSampler(["Judgment: 1"]) for _ in range(3))
    ask(first, times=3)
    ask(second, times=3)
    ask(other, RetrySettings(seed=1), times=3)
    assert first.calls == second.calls
    assert len({seed for sampler in (first, other) for _, seed in sampler.calls}) == 6


async def test_the_first_error_of_many_cancels_the_rest():
    slow = SlowSampler(60)
    judge = Judge(slow, RetrySettings())

    async def fail():
        await asyncio.sleep(0.01)
        raise UnavailableError("no")

    with pytest.raises(UnavailableError):
        await gather_all([judge.open("p").ask("prompt", "q", read), fail()])
    assert slow.open == 0


def test_operations_are_counted_where_the_sampler_can():
    sampler = ScriptedSampler(lambda *_: spend("Judgment: 1", 7))
    sampler.count_flops = lambda prompt, sampled: 10.0 * prompt + sampled
    assert ask(sampler)[1].usage.flops == 72  # 10 * 7 + 2


def test_position_bias():
    counts = JudgementCounts()
    for position in (0, 0, 0, 1):
        counts.add_choice(2, position)
    assert counts.position_bias() == [
        {"window": 2, "position": 0, "chosen": 3, "expected": 2.0},
        {"window": 2, "position": 1, "chosen": 1, "expected": 2.0},
    ]
    assert counts.describe()["position_bias"] == counts.position_bias()


def test_faulty_retry_settings_are_named_all_at_once():
    with pytest.raises(ConfigError) as error:
        RetrySettings(retries=-1, concurrency=0, deadline_seconds=-1.0)
    assert len(error.value.faults) == 3
