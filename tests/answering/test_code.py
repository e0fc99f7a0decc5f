"""A code problem in memory: its selector sees what is public of it, and no hidden test."""

import nbest
from nbest.records import CodeTask, Problem
from tests.answering.samplers import IndexSampler

PREFIX = "def f(x):\n"


def test_the_pool_of_a_code_problem_has_its_public_part() -> None:
    sampler = IndexSampler(lambda index: f"    return {index}\n")
    meta = {"entry_point": "f", "generated_tests": ["assert f(1) == 1"]}
    problem = Problem("p", PREFIX, None, "code", ("assert f(7) == 8",), meta)
    with nbest.BestOfN(sampler, "first", n=2) as bon:
        result = bon.ask(problem)
        assert bon.ask(Problem("q", "1+1?")).pool.code is None
    assert result.pool.code == CodeTask("f", PREFIX, generated_tests=("assert f(1) == 1",))
    assert "f(7)" not in repr(result.pool)
