"""A code problem in memory: its selector sees what is public of it, and no hidden test."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import nbest
from nbest import registry
from nbest.config import GenerativeConfig, PolicyConfig
from nbest.records import CodeTask, Completion, Message, Problem, SamplingParams
from nbest.sandbox.opening import BACKENDS, probe
from nbest.specs import Spec
from nbest.stages import score, select
from nbest.storage.run import Run
from tests.answering.samplers import IndexSampler

PREFIX = "def f(x):\n"
needs_sandbox = pytest.mark.skipif(
    all(probe(backend).obstacle for backend in BACKENDS), reason="no isolation for programs on this machine"
)


def test_the_pool_of_a_code_problem_has_its_public_part() -> None:
    sampler = IndexSampler(lambda index: f"    return {index}\n")
    meta = {"entry_point": "f", "generated_tests": ["assert f(1) == 1"]}
    problem = Problem("p", PREFIX, None, "code", ("assert f(7) == 8",), meta)
    with nbest.BestOfN(sampler, "first", n=2) as bon:
        result = bon.ask(problem)
        assert bon.ask(Problem("q", "1+1?")).pool.code is None
    assert result.pool.code == CodeTask("f", PREFIX, generated_tests=("assert f(1) == 1",))
    assert "f(7)" not in repr(result.pool)


BODIES = ("    return x - 1\n", "    return x + 1\n", "    return 1 + x\n", "    return 2\n")
READ_SCORER = "mean-logprob"
SCRIPT = ["Judgment: 0", "assert f(1) == 2"]
JUDGE = GenerativeConfig(policy=PolicyConfig(type="scripted", script=tuple(SCRIPT)), retries=0)
BY_EXECUTION = [spec for spec in registry.specs("selector") if "sandbox" in spec.needs]


class LikelySampler(IndexSampler):
    """An `IndexSampler` whose completions have one token with its log-probability."""

    async def sample(
        self, messages: Sequence[Message], seeds: Sequence[int], params: SamplingParams
    ) -> AsyncGenerator[tuple[int, Completion], None]:
        async with aclosing(super().sample(messages, seeds, params)) as drawn:
            async for seed, completion in drawn:
                tokens, logprobs = np.array([1], dtype=np.int32), np.array([-0.5], dtype=np.float32)
                yield seed, replace(completion, tokens=tokens, logprobs=logprobs)


@needs_sandbox
@pytest.mark.parametrize("spec", BY_EXECUTION, ids=lambda spec: spec.name)
def test_every_selector_by_execution_picks_the_same_in_memory_and_over_a_run(spec: Spec, tmp_path: Path) -> None:
    meta = {"entry_point": "f", "public_tests": ["assert f(3) == 4"], "generated_tests": ["assert f(1) == 2"]}
    problem = Problem("p", PREFIX, None, "code", ("assert f(7) == 8",), meta)
    selector = f"{spec.name}:{READ_SCORER}" if spec.reads_scores else spec.name
    judge = JUDGE if "judge" in spec.needs else None
    with nbest.BestOfN(LikelySampler(lambda index: BODIES[index]), selector, n=len(BODIES), judge=judge) as bon:
        result = bon.ask(problem)
    assert result.index in (1, 2)
    run = Run.create(tmp_path / "run", {"identity": {}, "info": {}})
    run.write_problems([problem])
    run.append_trajectories(result.pool.trajectories)
    if spec.reads_scores:
        score(run, [READ_SCORER])
    (report,) = select(run, [selector], judge=judge)
    (stored,) = run.selections(report.selector)
    assert stored.index == result.index
