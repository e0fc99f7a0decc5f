import pytest

from nbest.records import Completion, Pool, Trajectory
from nbest.selecting.voting import MajoritySelector

SAME = {"1/2": "0.5", "\\frac12": "0.5"}


class Halves:
    """An equivalence that knows three ways to write one half."""

    def cluster(self, answers, _kind="math"):
        numbers = {}
        return [
            None if answer is None else numbers.setdefault(SAME.get(answer, answer), len(numbers)) for answer in answers
        ]

    def same(self, a, b, _kind="math"):
        return SAME.get(a, a) == SAME.get(b, b)


def pool_of(*answers, failed=()):
    return Pool(
        "p",
        "?",
        tuple(
            Trajectory(f"p#{i}", "p", i, 0, Completion("", finish="error" if i in failed else "stop"), answer)
            for i, answer in enumerate(answers)
        ),
    )


async def test_equal_answers_vote_together_however_they_are_written():
    # By string 3 wins with two votes; by value one half has three.
    selection = await MajoritySelector(Halves()).select(pool_of("3", "3", "1/2", "0.5", "\\frac12"))
    assert (selection.index, selection.answer) == (2, "1/2")
    assert selection.confidence == pytest.approx(3 / 5)


async def test_of_tied_clusters_the_first_stated_wins():
    selection = await MajoritySelector(Halves()).select(pool_of(None, "7", "8", "8", "7"))
    assert selection.index == 1
    assert selection.note == "2 answers tie with 2 votes each; the first one stated wins"


async def test_the_tie_goes_by_index_not_by_position():
    pool = pool_of("7", "8")
    turned = Pool("p", "?", pool.trajectories[::-1])
    assert (await MajoritySelector(Halves()).select(turned)).index == 1


async def test_those_without_an_answer_do_not_vote():
    selection = await MajoritySelector(Halves()).select(pool_of(None, None, None, "8"))
    assert (selection.index, selection.confidence) == (3, 1.0)


async def test_nobody_has_an_answer():
    selection = await MajoritySelector(Halves()).select(pool_of(None, None))
    assert (selection.index, selection.note) == (None, "none of 2 trajectories has an answer")


async def test_a_failed_attempt_does_not_vote():
    selection = await MajoritySelector(Halves()).select(pool_of("7", "7", "8", failed=(0, 1)))
    assert selection.index == 2
