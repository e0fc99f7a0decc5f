"""Problems of the generator: right values, stable splits, seeded streams."""

import random
from itertools import islice

import pytest

from nbest.errors import ConfigError
from nbest.problems.arithmetic import (
    LARGEST_VALUE,
    SMALLEST_VALUE,
    SPLITS,
    SUBJECTS,
    Chain,
    Operation,
    draw_chain,
    draw_chains,
    generate_problems,
)

FARM = next(subject for subject in SUBJECTS if subject.name == "farm")


def test_a_chain_is_worked_from_left_to_right() -> None:
    # (12 + 30) * 2 - 11 = 84 - 11 = 73
    chain = Chain(FARM, 12, (Operation("+", 30), Operation("*", 2), Operation("-", 11)))
    assert chain.result == 73
    assert (
        chain.question == "A farm has 12 hens. 30 more come. They become 2 times as many. 11 are sold. How many hens?"
    )
    problem = chain.to_problem()
    assert problem.target == "73"
    assert problem.meta == {"subject": "farm", "steps": 3}
    assert problem.id == f"arithmetic/{chain.split}/{chain.fingerprint}"


def test_the_split_depends_on_the_numbers_alone() -> None:
    rng = random.Random(0)
    for _ in range(50):
        chain = draw_chain(rng, (3, 6))
        splits = {Chain(subject, chain.start, chain.operations).split for subject in SUBJECTS}
        assert splits == {chain.split}


def test_the_fingerprint_never_changes() -> None:
    # A change here would move problems between splits, and test problems into the training of the bundled weights.
    chain = Chain(FARM, 12, (Operation("+", 30), Operation("*", 2)))
    assert chain.fingerprint == "e70ecfe7caad272d"


def test_splits_share_no_problem() -> None:
    fingerprints = {split: {c.fingerprint for c in islice(draw_chains(split, 0), 300)} for split in SPLITS}
    assert all(len(group) == 300 for group in fingerprints.values())
    assert not fingerprints["train"] & fingerprints["test"]
    assert not fingerprints["train"] & fingerprints["validation"]
    assert not fingerprints["validation"] & fingerprints["test"]


def test_values_stay_in_range_all_along_the_chain() -> None:
    for chain in islice(draw_chains("train", 5), 300):
        value = chain.start
        for operation in chain.operations:
            value = operation.apply(value)
            assert SMALLEST_VALUE <= value <= LARGEST_VALUE


def test_a_larger_count_only_adds_at_the_end() -> None:
    assert generate_problems("test", 40, seed=3)[:10] == generate_problems("test", 10, seed=3)
    assert generate_problems("test", 10, seed=4) != generate_problems("test", 10, seed=3)


def test_the_number_of_steps_is_within_the_setting() -> None:
    assert {problem.meta["steps"] for problem in generate_problems("test", 60, steps=(7, 8))} == {7, 8}


@pytest.mark.parametrize(
    ("split", "steps", "field"), [("dev", (3, 6), "problems.split"), ("test", (4, 3), "problems.steps")]
)
def test_faulty_settings_are_named(split: str, steps: tuple[int, int], field: str) -> None:
    with pytest.raises(ConfigError, match=field):
        generate_problems(split, 1, steps=steps)  # pyright: ignore[reportArgumentType]
