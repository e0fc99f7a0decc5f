import pytest

from nbest.errors import ConfigError, DataError, UnavailableError
from nbest.measuring.compare import compare
from nbest.records import Selection

RIGHT, WRONG = {"correct": True, "answer": "1"}, {"correct": False, "answer": "2"}


@pytest.fixture
def run(make_run):
    run_of_four = make_run([RIGHT, WRONG], [WRONG, RIGHT], [WRONG, WRONG], [RIGHT, {"correct": None}])
    picks = [Selection("p0", 0), Selection("p1", 0), Selection("p2", None), Selection("p3", 1)]
    run_of_four.append_selections("asked", picks)
    return run_of_four


def test_a_stored_selection_counts_at_the_size_of_its_pool(run, strings):
    result = compare(run, ["stored:asked", "random"], [1, 2], equivalence=strings, baseline="random")
    first, second = (row for row in result.rows if row.selector == "stored:asked")
    assert first.accuracy is None
    # Right on p0, wrong on p1, abstained on p2; the pick on p3 is ungraded and is left out.
    assert (second.accuracy, second.abstained, second.problems) == pytest.approx((1 / 3, 1 / 3, 3))
    assert (second.exact, second.accuracy_if_wrong, second.accuracy_if_right) == (True, 0.25, 0.5)
    assert [row.selector for row in result.paired] == ["stored:asked"] * 2


def test_stored_selections_without_an_estimator_are_in_the_defaults(run, strings):
    assert "stored:asked" in compare(run, equivalence=strings).selectors
    run.append_selections("majority", [Selection("p0", 0)])
    assert "stored:majority" not in compare(run, equivalence=strings).selectors


@pytest.mark.parametrize("index", [2, -1])
def test_a_selection_outside_the_pool_is_named(run, strings, index):
    run.append_selections("off", [Selection("p1", index)])
    message = f"selection 'off' of run .*'p1' has index {index}, allowed are 0 to 1"
    with pytest.raises(DataError, match=message):
        compare(run, ["stored:off"], [2], equivalence=strings)


def test_what_cannot_be_asked(run, strings):
    with pytest.raises(UnavailableError, match=r"stored:other: run .* stored: asked"):
        compare(run, ["stored:other"], equivalence=strings)
    with pytest.raises(ConfigError, match="says nothing of pools that are sampled again"):
        compare(run, ["stored:asked"], equivalence=strings, resample="both")


def test_a_selection_among_the_first_n_counts_at_n_alone(make_run, strings):
    run = make_run([RIGHT, WRONG, WRONG], [WRONG, RIGHT, RIGHT], [WRONG], name="first")
    run.append_selections("asked@2", [Selection("p0", 0), Selection("p1", 0), Selection("p2", 0)])
    result = compare(run, ["stored:asked@2"], [1, 2, 3], equivalence=strings, baseline="stored:asked@2")
    one, two, three = (row for row in result.rows if row.selector == "stored:asked@2")
    assert (one.accuracy, three.accuracy) == (None, None)
    # Right on p0, wrong on p1; p2 has only one trajectory.
    assert (two.accuracy, two.problems) == (0.5, 2)


def test_a_selection_beyond_the_first_n_is_named(run, strings):
    run.append_selections("off@1", [Selection("p1", 1)])
    with pytest.raises(DataError, match=r"'off@1' of run .*'p1' has index 1, allowed are 0 to 0"):
        compare(run, ["stored:off@1"], [1], equivalence=strings)


def test_a_selector_without_an_estimator_is_compared_by_its_stored_selections(make_run, strings):
    run = make_run([RIGHT, WRONG], [WRONG, RIGHT])
    with pytest.raises(ConfigError, match="has no curve: select with it first"):
        compare(run, ["genselect-vote"], equivalence=strings)
    run.append_selections("genselect-vote", [Selection("p0", 0), Selection("p1", 0)])
    comparison = compare(run, ["genselect-vote"], [2], equivalence=strings)
    assert [(row.selector, row.accuracy) for row in comparison.rows] == [("stored:genselect-vote", 0.5)]
