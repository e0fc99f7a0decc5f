"""The ground: seeds, ids, sums."""

import dataclasses

import pytest

from nbest.records import Problem, SamplingParams, Usage, derive_seed, trajectory_id


def test_seeds_are_stable() -> None:
    # Pinned: another value here would change every run that is resumed by a later version.
    assert derive_seed(0, "p", 0) == 2606024652530248270
    assert 0 <= derive_seed(2**62, "x" * 1000, 10**6) < 2**63


def test_seeds_differ_in_each_of_their_parts() -> None:
    seeds = {derive_seed(run, problem, index) for run in range(5) for problem in "abc" for index in range(50)}
    assert len(seeds) == 5 * 3 * 50
    assert derive_seed(1, "1", 11) != derive_seed(11, "1", 1)


def test_an_id_names_problem_and_index() -> None:
    assert trajectory_id("aime_2024/3", 7) == "aime_2024/3#7"


def test_usage_adds_up() -> None:
    assert Usage(1, 2, 3.0, 4.0) + Usage(10, 20, 30.0, 40.0) == Usage(11, 22, 33.0, 44.0)


def test_records_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Problem("a", "b").prompt = "c"  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(dataclasses.FrozenInstanceError):
        SamplingParams().temperature = 1.0  # pyright: ignore[reportAttributeAccessIssue]
