"""Rollouts by the model in training: a function of its weights, the prompt and a seed."""

import itertools
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from nbest.errors import EngineError
from nbest.records import SamplingParams, derive_seed
from nbest.training.dapo import make_rows
from nbest.training.rollouts import SamplerRollouts
from tests.training.selector_runs import build_model, load_tokenizer, make_tasks, read_prompt

TASKS = make_tasks(3)
PARAMS = SamplingParams(1.0, 1.0, 0, 0.0, 12)
END = 2


@pytest.fixture
def rollouts() -> Iterator[SamplerRollouts]:
    sampler_rollouts = SamplerRollouts(build_model().train(), load_tokenizer(), PARAMS, seed=5, batch_rows=8)
    yield sampler_rollouts
    sampler_rollouts.close()


def draw(rollouts: SamplerRollouts, rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    return rollouts([row["prompt"] for row in rows], SimpleNamespace(rows=rows))


def rows_of(indices: range, rollouts: int = 3) -> list[dict[str, Any]]:
    return [row for index in indices for row in make_rows(index, TASKS[index % 3], rollouts)]


def test_rows_keep_their_order_and_their_prompts(rollouts: SamplerRollouts) -> None:
    rows = rows_of(range(4))  # task 3 has the prompt of task 0 again
    outputs = draw(rollouts, rows)
    tokenizer = load_tokenizer()
    assert outputs["prompt_ids"] == [read_prompt(tokenizer, row["prompt"]) for row in rows]
    assert len(outputs["completion_ids"]) == len(rows) == 12
    assert [len(logprobs) for logprobs in outputs["logprobs"]] == [len(ids) for ids in outputs["completion_ids"]]
    # Another task index, another rollout index: other seeds, other texts.
    assert len({tuple(ids) for ids in outputs["completion_ids"]}) == 12


def test_a_rollout_depends_on_its_own_indices_alone(rollouts: SamplerRollouts) -> None:
    # What a run that goes on needs: in any company, in any order, again and again.
    rows = rows_of(range(3))
    whole = draw(rollouts, rows)["completion_ids"]
    alone = [draw(rollouts, [row])["completion_ids"][0] for row in reversed(rows)]
    assert alone[::-1] == whole


def test_the_seed_is_that_of_run_task_and_rollout(rollouts: SamplerRollouts) -> None:
    row = make_rows(7, TASKS[1], 3)[2]
    (expected,) = rollouts.draw([(TASKS[1].prompt, derive_seed(5, "7", 2))])
    assert draw(rollouts, [row])["completion_ids"] == [expected.tokens.tolist()]
    seeds = {derive_seed(run, str(p), a) for run, p, a in itertools.product((5, 6), range(-3, 20), range(8))}
    assert len(seeds) == 2 * 23 * 8


def test_the_weights_as_they_are_now_answer(rollouts: SamplerRollouts) -> None:
    rows = rows_of(range(2))
    before = draw(rollouts, rows)["completion_ids"]
    with torch.no_grad():
        rollouts._model.get_input_embeddings().weight.mul_(2.0)
    assert draw(rollouts, rows)["completion_ids"] != before


def test_one_that_ends_by_itself_has_its_end_token_and_one_that_is_cut_has_not() -> None:
    model, tokenizer = build_model(), load_tokenizer()
    with torch.no_grad():  # the end token twice as loud, so that some end within 12 tokens and some do not
        model.get_input_embeddings().weight[END] *= 2
    rollouts = SamplerRollouts(model, tokenizer, PARAMS, seed=5, batch_rows=64)
    outputs = draw(rollouts, rows_of(range(3), rollouts=64))["completion_ids"]
    rollouts.close()
    finished_rows = [ids for ids in outputs if ids[-1] == END]
    assert 0 < len(finished_rows) < len(outputs)
    assert all(END not in ids[:-1] for ids in outputs)
    assert all(len(ids) == 12 for ids in outputs if ids[-1] != END)


def test_temperature_zero_takes_the_likeliest(rollouts: SamplerRollouts) -> None:
    rollouts.temperature = 0.0
    assert rollouts.params.temperature == 0.0
    outputs = draw(rollouts, rows_of(range(1), rollouts=4))["completion_ids"]
    assert outputs == [outputs[0]] * 4


def test_the_model_is_training_again_afterwards(rollouts: SamplerRollouts) -> None:
    draw(rollouts, rows_of(range(1)))
    assert rollouts._model.training
    rollouts._model.eval()
    draw(rollouts, rows_of(range(1)))
    assert not rollouts._model.training


def test_a_prompt_beyond_the_context_is_an_error(rollouts: SamplerRollouts) -> None:
    with pytest.raises(EngineError, match=r"could not be drawn: the prompt has 31\d tokens.*prompt begins '1111"):
        rollouts.draw([("short", 1), ("1" * 300, 2)])
    assert rollouts._model.training
