"""The front door over a policy without a model: results, events, threads and loops, closing, cancelling, refusals."""

import asyncio
import gc
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import aclosing, suppress
from typing import Any

import pytest

import nbest
from nbest.config import PolicyConfig
from nbest.errors import ConfigError, EngineError
from nbest.records import Message, Pool, Problem, SamplingParams, Selection, derive_seed
from tests.answering.samplers import IndexSampler, boxed

QUESTION = "2 + 2?"


class LastSelector(nbest.Selector):
    """Picks the last trajectory; abstains for the problem `hard`."""

    def __init__(self) -> None:
        self.closed = 0

    async def select(self, pool: Pool) -> Selection:
        if pool.problem_id == "hard":
            return Selection(pool.problem_id, None, note="too hard")
        return Selection(pool.problem_id, len(pool.trajectories) - 1, usage=nbest.Usage(1, 2, 3.0, 4.0))

    async def aclose(self) -> None:
        self.closed += 1


@pytest.fixture
def sampler() -> IndexSampler:
    return IndexSampler(lambda index: boxed(7 if index < 3 else index))


def test_a_question_is_drawn_scored_and_selected_from(sampler: IndexSampler) -> None:
    with nbest.BestOfN(sampler, n=5) as bon:
        result = bon.ask(QUESTION)
    assert (result.answer, result.index, result.votes) == ("7", 0, 3)
    assert result.confidence == pytest.approx(3 / 5)
    assert result.text == boxed(7)
    assert result.answers == ("7", "7", "7", "3", "4")
    assert result.selection.index == 0
    assert [member.index for member in result.pool.trajectories] == [0, 1, 2, 3, 4]
    assert (result.usage.prompt_tokens, result.usage.sampled_tokens, result.usage.flops) == (15, 50, 130.0)
    assert result.usage.seconds > 0


def test_trajectories_have_the_seeds_and_ids_of_a_run(sampler: IndexSampler) -> None:
    with nbest.BestOfN(sampler, n=3, seed=5) as bon:
        result = bon.ask(Problem("p9", QUESTION))
    assert [member.id for member in result.pool.trajectories] == ["p9#0", "p9#1", "p9#2"]
    assert [member.seed for member in result.pool.trajectories] == [derive_seed(5, "p9", index) for index in range(3)]


def test_a_conversation_reaches_the_sampler_as_messages(sampler: IndexSampler) -> None:
    conversation = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": QUESTION}]
    with nbest.BestOfN(sampler, n=2) as bon:
        result = bon.ask(conversation)
    assert sampler.calls[0][0] == (Message("system", "Be brief."), Message("user", QUESTION))
    assert result.pool.prompt == "system: Be brief.\n\nuser: 2 + 2?"
    assert result.pool.problem_id.startswith("question-")


def test_the_kind_says_how_answers_are_read() -> None:
    sampler = IndexSampler(lambda _: "The answer is C.")
    with nbest.BestOfN(sampler, n=2) as bon:
        assert bon.ask(QUESTION, kind="choice").answer == "C"
        assert bon.ask(Problem("p", QUESTION, kind="choice")).answer == "C"


def test_an_abstention_picks_nothing(sampler: IndexSampler) -> None:
    with nbest.BestOfN(sampler, LastSelector(), n=2) as bon:
        result = bon.ask(Problem("hard", QUESTION))
    assert (result.answer, result.text, result.index, result.votes) == (None, None, None, 0)
    assert result.selection.note == "too hard"
    assert len(result.pool.trajectories) == 2


def test_the_cost_of_selecting_is_added(sampler: IndexSampler) -> None:
    with nbest.BestOfN(sampler, LastSelector(), n=2) as bon:
        usage = bon.ask(QUESTION).usage
    assert (usage.prompt_tokens, usage.sampled_tokens, usage.flops) == (7, 22, 55.0)
    assert usage.seconds > 4


def test_events_count_up_and_end_with_the_result(sampler: IndexSampler) -> None:
    with nbest.BestOfN(sampler, n=5) as bon:
        *finished, selected = bon.stream(QUESTION)
        result = bon.ask(QUESTION)
    assert all(isinstance(event, nbest.TrajectoryFinished) for event in finished)
    assert [(event.finished, event.total) for event in finished] == [(k, 5) for k in range(1, 6)]
    # The sampler finishes the last one first.
    assert [event.trajectory.index for event in finished] == [4, 3, 2, 1, 0]
    assert [(event.answer, event.leader, event.votes) for event in finished] == [
        ("4", "4", 1),
        ("3", "4", 1),
        ("7", "4", 1),
        ("7", "7", 2),
        ("7", "7", 3),
    ]
    assert isinstance(selected, nbest.Selected)
    assert selected.result.selection == result.selection


def test_leaders_are_counted_over_equal_answers() -> None:
    replies = [boxed("1/2"), boxed("0.5"), boxed("3"), "no answer"]
    sampler = IndexSampler(lambda index: replies[3 - index])
    with nbest.BestOfN(sampler, n=4) as bon:
        finished = list(bon.stream(QUESTION))[:-1]
    assert [(event.leader, event.votes) for event in finished] == [("1/2", 1), ("1/2", 2), ("1/2", 2), ("1/2", 2)]


async def test_the_async_calls_do_the_same(sampler: IndexSampler) -> None:
    async with nbest.BestOfN(sampler, n=5) as bon:
        result = await bon.aask(QUESTION)
        events = [event async for event in bon.astream(QUESTION)]
        first, second = await bon.aask_many([QUESTION, "3 + 3?"])
    assert (result.answer, len(events)) == ("7", 6)
    assert (first.answer, second.answer) == ("7", "7")
    assert first.pool.problem_id != second.pool.problem_id


async def test_sync_calls_work_while_an_event_loop_runs(sampler: IndexSampler) -> None:
    with nbest.BestOfN(sampler, n=5) as bon:
        assert bon.ask(QUESTION).answer == "7"
        assert len(list(bon.stream(QUESTION))) == 6
        assert (await bon.aask(QUESTION)).answer == "7"


def test_one_object_serves_several_loops_in_turn(sampler: IndexSampler) -> None:
    with nbest.BestOfN(sampler, n=2) as bon:
        assert asyncio.run(bon.aask(QUESTION)).answer == "7"
        assert asyncio.run(bon.aask(QUESTION)).answer == "7"


def test_many_questions_are_in_work_together(sampler: IndexSampler) -> None:
    with nbest.BestOfN(sampler, n=3) as bon:
        results = bon.ask_many([f"{number} + 1?" for number in range(100)])
    assert [result.pool.prompt for result in results] == [f"{number} + 1?" for number in range(100)]
    assert 1 < sampler.most_open <= 64


def test_the_same_question_many_times_at_once(sampler: IndexSampler) -> None:
    with nbest.BestOfN(sampler, n=3) as bon:
        results = bon.ask_many([QUESTION] * 8)
    assert {result.answer for result in results} == {"7"}


def test_several_threads_and_two_objects_at_once() -> None:
    samplers = [IndexSampler(lambda _: boxed(1)), IndexSampler(lambda _: boxed(2))]
    answers: list[tuple[int, str | None]] = []
    with nbest.BestOfN(samplers[0], n=3) as first, nbest.BestOfN(samplers[1], n=3) as second:

        def ask(number: int, bon: nbest.BestOfN) -> None:
            answers.append((number, bon.ask(f"{threading.get_ident()}?").answer))

        threads = [
            threading.Thread(target=ask, args=pair) for pair in [(1, first), (2, second), (1, first), (2, second)]
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(answers) == [(1, "1"), (1, "1"), (2, "2"), (2, "2")]


def test_an_engine_error_reaches_every_kind_of_call() -> None:
    with nbest.BestOfN(IndexSampler(lambda index: "broken" if index == 0 else boxed(1)), n=3) as bon:
        with pytest.raises(EngineError, match="the engine broke"):
            bon.ask(QUESTION)
        with pytest.raises(EngineError, match="the engine broke"):
            bon.ask_many([QUESTION, "3?"])
        events: list[Any] = []
        with pytest.raises(EngineError, match="the engine broke"):
            events.extend(bon.stream(QUESTION))
        assert asyncio.run(bon.aask_many([])) == []


def test_a_failed_draw_is_data() -> None:
    class Failing(IndexSampler):
        async def sample(self, messages: Any, seeds: Sequence[int], params: Any) -> Any:
            del messages, params
            for seed in seeds:
                yield seed, nbest.Completion("", finish="error", note="no room")

    with nbest.BestOfN(Failing(), n=2) as bon:
        *events, selected = bon.stream(QUESTION)
    assert [(event.answer, event.leader, event.votes) for event in events] == [(None, None, 0), (None, None, 0)]
    assert selected.result.index is None
    assert "all 2" in selected.result.selection.note


def test_a_sampler_that_leaves_out_a_seed_is_an_error() -> None:
    class Short(IndexSampler):
        async def sample(self, messages: Any, seeds: Sequence[int], params: Any) -> Any:
            del messages, params
            yield seeds[0], nbest.Completion(boxed(1), finish="stop")

    with nbest.BestOfN(Short(), n=2) as bon, pytest.raises(EngineError, match="not one for each of its 2 seeds"):
        bon.ask(QUESTION)


def test_leaving_a_stream_early_cancels_what_is_unfinished() -> None:
    sampler = IndexSampler(ready=2)
    with nbest.BestOfN(sampler, n=6) as bon:
        for event in bon.stream(QUESTION):
            if event.finished == 2:
                break
        gc.collect()
        assert sampler.cancelled == 4
        stream = bon.stream(QUESTION)
        assert [next(stream).finished, next(stream).finished] == [1, 2]
        stream.close()
        assert sampler.cancelled == 8


async def test_leaving_an_async_stream_early_cancels_what_is_unfinished() -> None:
    sampler = IndexSampler(ready=2)
    async with nbest.BestOfN(sampler, n=6) as bon:
        async with aclosing(bon.astream(QUESTION)) as events:
            await anext(events)
            await anext(events)
        assert sampler.cancelled == 4


async def test_cancelling_a_call_cancels_its_draws() -> None:
    sampler = IndexSampler(ready=2)
    async with nbest.BestOfN(sampler, n=6) as bon:
        task = asyncio.create_task(bon.aask(QUESTION))
        await asyncio.to_thread(sampler.wait_until_stuck)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert sampler.cancelled == 4


def test_a_stream_begins_with_its_first_event(sampler: IndexSampler) -> None:
    with nbest.BestOfN(sampler, n=2) as bon:
        stream = bon.stream(QUESTION)
        time.sleep(0.05)
        assert not sampler.calls
        stream.close()


def test_closing_twice_and_asking_a_closed_one(sampler: IndexSampler) -> None:
    selector = LastSelector()
    bon = nbest.BestOfN(sampler, selector, n=2)
    bon.ask(QUESTION)
    bon.close()
    bon.close()
    asyncio.run(bon.aclose())
    with pytest.raises(EngineError, match="closed"):
        bon.ask(QUESTION)
    # What was handed in is its owner's to close.
    assert (sampler.closed, selector.closed) == (0, 0)


def test_closing_without_a_question_loads_nothing() -> None:
    nbest.BestOfN("no/such-model").close()


def test_closing_ends_what_is_in_work() -> None:
    sampler = IndexSampler(ready=1)
    bon = nbest.BestOfN(sampler, n=4)
    errors: list[BaseException] = []

    def ask() -> None:
        try:
            bon.ask(QUESTION)
        except nbest.NbestError as error:
            errors.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    sampler.wait_until_stuck()
    bon.close()
    thread.join(10)
    assert not thread.is_alive()
    assert isinstance(errors[0], EngineError)
    assert "closed" in str(errors[0])
    assert sampler.cancelled == 3


def test_an_object_that_is_forgotten_ends_its_thread(sampler: IndexSampler) -> None:
    def count_threads() -> int:
        return sum(thread.name == "nbest-answering" for thread in threading.enumerate())

    before = count_threads()
    bon = nbest.BestOfN(sampler, n=2)
    bon.ask(QUESTION)
    assert count_threads() == before + 1
    del bon
    gc.collect()
    assert count_threads() == before


def test_a_blocking_call_from_a_selector_of_its_own_is_refused(sampler: IndexSampler) -> None:
    class Asking(nbest.Selector):
        async def select(self, pool: Pool) -> Selection:
            del pool
            return bon.ask("again?").selection

    bon = nbest.BestOfN(sampler, Asking(), n=2)
    with bon, pytest.raises(EngineError, match="its own event loop"):
        bon.ask(QUESTION)


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"n": 0}, "n: got 0; it must be a whole number of at least 1"),
        ({"n": 2.0}, "n: got 2.0"),
        ({"n": True}, "n: got True"),
        ({"seed": "x"}, "seed: got 'x'"),
        ({"sampling": {"temperature": 1}}, "sampling: got dict; it must be nbest.SamplingParams"),
        ({"policy": 5}, "policy: got int; allowed are bundled:NAME"),
        ({"policy": " "}, "policy: the name is empty"),
        ({"policy": "bundled:absent"}, "policy: 'bundled:absent' is not in this package; there are bundled:arithmetic"),
        ({"policy": "./no/such/folder"}, "policy: './no/such/folder' is no folder"),
        ({"selector": 5}, "selector: got int; allowed are a name"),
        ({"selector": "majorty"}, "Did you mean 'majority'?"),
        ({"selector": "vote:trajselector-fuse"}, "Did you mean 'trajselector-fused'?"),
        ({"selector": "majority(window=3)"}, "unknown option 'window'; it takes no options"),
        ({"selector": "vote:deepconf-bottom(windw=3)"}, "unknown option 'windw'"),
        ({"selector": "vote:deepconf-bottom(window=x)"}, "window"),
        ({"selector": {"name": "vote", "scoring": "x"}}, "its keys are name (text), options (a mapping) and scorer"),
        ({"selector": "genselect"}, "judge: selector 'genselect' asks a model"),
        ({"judge": "bundled:genselect"}, "judge: selector 'majority' asks no model"),
        ({"selector": "genselect", "judge": 3}, "judge: got 3"),
        ({"scorer_model": "models/x"}, "scorer_model: selector 'majority' reads no trained scorer"),
        ({"selector": "score:clue"}, "scorer_model: selector 'score:clue' reads a trained model"),
    ],
)
def test_faulty_settings_are_refused_at_once(settings: dict[str, Any], fault: str) -> None:
    with pytest.raises(ConfigError) as refused:
        nbest.BestOfN(**{"policy": "bundled:arithmetic"} | settings)
    assert fault in str(refused.value)


def test_all_faulty_settings_are_named_together() -> None:
    with pytest.raises(ConfigError) as refused:
        nbest.BestOfN("bundled:absent", "majorty", n=0)
    assert len(refused.value.faults) == 3


def test_every_form_of_a_selector_and_policy_is_taken(sampler: IndexSampler) -> None:
    for selector in (
        "majority",
        "vote:deepconf-bottom(window=16)",
        {"name": "majority"},
        {"name": "vote", "scorer": "deepconf-bottom(window=16)"},
        {"name": "vote", "scorer": {"name": "deepconf-bottom", "options": {"window": 16}}},
        LastSelector(),
    ):
        nbest.BestOfN(sampler, selector).close()
    config = PolicyConfig(type="scripted", script=(boxed(5), boxed(5)))
    with nbest.BestOfN(config, n=2) as bon:
        assert bon.ask(QUESTION).answer == "5"


def test_faults_of_many_questions_say_where(sampler: IndexSampler) -> None:
    with nbest.BestOfN(sampler) as bon:
        with pytest.raises(ConfigError) as refused:
            bon.ask_many(["", "2 + 2?", [{"role": "robot", "content": "x"}]])
        assert [fault.split(":")[0] for fault in refused.value.faults] == ["questions[0]", "questions[2]"]
        with pytest.raises(ConfigError, match="it must be a list of questions"):
            bon.ask_many("2 + 2?")
    assert not sampler.calls


def test_what_the_scorers_need_is_switched_on(sampler: IndexSampler) -> None:
    for selector, expected_params in (
        ("majority", SamplingParams()),
        ("score:deepconf-mean", SamplingParams(top_logprobs=20)),
        ("borda:self-certainty", SamplingParams(self_certainty=True)),
        ("score:trajselector-fused", SamplingParams(capture=(2, 3, 4, 5))),
    ):
        sampler.calls.clear()
        # This sampler keeps neither states nor confidences.
        with nbest.BestOfN(sampler, selector, n=1) as bon, suppress(nbest.NbestError):
            bon.ask(QUESTION)
        assert sampler.calls[0][2] == expected_params


FORGETFUL = """
import nbest
from tests.answering.samplers import IndexSampler
bon = nbest.BestOfN(IndexSampler(ready=1), n=4)
stream = bon.stream("2 + 2?")
print(next(stream).finished)
"""


def test_a_script_that_forgets_to_close_ends_by_itself() -> None:
    script = subprocess.run([sys.executable, "-c", FORGETFUL], capture_output=True, text=True, check=False, timeout=60)
    assert (script.returncode, script.stdout.strip(), script.stderr) == (0, "1", "")


INTERRUPTED = """
import signal
import nbest
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell ignores it for programs in the background
from tests.answering.samplers import IndexSampler
bon = nbest.BestOfN(IndexSampler(ready=1), n=4)
print("asking", flush=True)
try:
    bon.ask("2 + 2?")
except KeyboardInterrupt:
    sampler = bon._answerer._resources[0].sampler
    bon.close()
    print(sampler.cancelled)
"""


def test_an_interrupt_cancels_the_draws_of_a_blocking_call() -> None:
    process = subprocess.Popen([sys.executable, "-c", INTERRUPTED], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline() == "asking\n"
        time.sleep(1.0)
        process.send_signal(signal.SIGINT)
        assert process.stdout.read() == "3\n"
    assert process.wait(30) == 0


BUNDLED = """
import nbest
bon = nbest.BestOfN("bundled:arithmetic", n=64)
stream = bon.stream("Take 50. Add 23. Multiply by 2. Add 49. What is the result?")
print(next(stream).finished)
"""


def test_a_script_that_ends_while_a_model_draws_is_not_aborted() -> None:
    script = subprocess.run([sys.executable, "-c", BUNDLED], capture_output=True, text=True, check=False, timeout=120)
    assert (script.returncode, script.stdout.strip()) == (0, "1")
    assert "Traceback" not in script.stderr
