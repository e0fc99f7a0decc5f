import pytest

from nbest.records import Selection
from nbest.report.findings import examine, spread_of
from nbest.selecting.estimators import RememberedClusters, contestant


def sampled(answer, correct, score=None, **others):
    return {"answer": answer, "correct": correct, "scores": {} if score is None else {"a": score}} | others


POOLS = (
    # Votes tie 2 to 2 between right and wrong; the score picks the wrong one.
    [sampled("1", True, 0.2), sampled("1", True, 0.3), sampled("2", False, 0.9), sampled("2", False, 0.1)],
    # The majority is wrong, the score is right; one gave no answer, one was cut off.
    [
        sampled("1", True, 0.8, tokens=30),
        sampled("3", False, 0.5, tokens=20),
        sampled("3", False, 0.4, finish="length", tokens=40),
        sampled(None, False, 0.1),
    ],
    # Both right, the best score shared by two of one answer; one failed, one is ungraded.
    [
        sampled("1", True, 0.7),
        sampled("1", True, 0.7),
        sampled("9", False, finish="error"),
        sampled("1", None, 0.1),
    ],
)
NAMES = ("random", "majority", "score:a", "vote:a", "shortest", "oracle")


@pytest.fixture
def look(strings):
    def look_at(run, names=NAMES, scorers=("a",), has_tokens=True):
        clusterer = RememberedClusters(strings)
        contestants = [contestant(name, clusterer) for name in names]
        return examine(run, contestants, scorers, clusterer, has_tokens)

    return look_at


def test_every_selector_on_every_whole_pool(make_run, look):
    findings = look(make_run(*POOLS))
    assert [(p.problem_id, p.candidates, p.right) for p in findings.problems] == [
        ("p0", 4, 2),
        ("p1", 4, 1),
        ("p2", 3, 2),
    ]
    values = {name: [p.values[name] for p in findings.problems] for name in NAMES}
    assert values["majority"] == [0.5, 0.0, 1.0]
    assert values["score:a"] == [0.0, 1.0, 1.0]
    # 0.5 against 1.0; 0.8 against 0.9; 1.4 against nothing.
    assert values["vote:a"] == [0.0, 0.0, 1.0]
    assert values["oracle"] == [1.0, 1.0, 1.0]


def test_answers_are_kept_where_selectors_disagree(make_run, look):
    findings = look(make_run(*POOLS))
    assert findings.problems[0].answers == (("1", 2, 2), ("2", 2, 0))
    assert findings.problems[1].answers == (("3", 2, 0), ("1", 1, 1), (None, 1, 0))
    assert findings.problems[2].answers == ()


def test_trajectories_are_counted_by_what_became_of_them(make_run, look):
    findings = look(make_run(*POOLS))
    counts = findings.trajectories
    assert (counts.graded, counts.right, counts.wrong) == (10, 5, 5)
    assert counts.to_json() == {
        "trajectories": 12,
        "without_answer": 1,
        "ungraded": 1,
        "failed": 1,
        "cut": 1,
        "large_shares": dict.fromkeys(("without_answer", "ungraded", "failed", "cut"), 1 / 12),
    }
    assert findings.finishes == {"stop": 10, "length": 1, "error": 1}


def test_ties_of_votes_scores_and_lengths(make_run, look):
    counts = look(make_run(*POOLS)).counts
    assert (counts["majority"].ties, counts["majority"].deciding_ties) == (1, 1)
    assert (counts["score:a"].ties, counts["score:a"].deciding_ties) == (1, 0)
    assert (counts["vote:a"].ties, counts["vote:a"].deciding_ties) == (0, 0)
    # All four of p0 have 10 tokens, and both of p2; the shortest of p1 is alone.
    assert (counts["shortest"].ties, counts["shortest"].deciding_ties) == (2, 1)
    assert (counts["random"].ties, counts["random"].deciding_ties) == (None, 0)


def test_abstaining_is_counted(make_run, look):
    counts = look(make_run([sampled(None, False), sampled(None, False)]), ["majority"], []).counts
    assert (counts["majority"].abstained, counts["majority"].ties) == (1, 0)


def test_lengths_of_right_and_wrong(make_run, look):
    findings = look(make_run(POOLS[1]))
    assert (findings.lengths["right"].tolist(), findings.lengths["wrong"].tolist()) == ([30], [20, 40, 10])
    texts = make_run([sampled("1", True, text="abc", tokens=0)], name="texts")
    counted = look(texts, ["majority"], [], has_tokens=False)
    assert (counted.lengths["right"].tolist(), counted.length_unit) == ([3], "characters")


def test_confidences_are_vote_shares_and_scores(make_run, look):
    sources = {source.name: source for source in look(make_run(*POOLS)).confidences}
    # Of all graded candidates: 2 of 4, 2 of 4, 2 of 3.
    assert sources["majority"].confidence.tolist() == pytest.approx([0.5, 0.5, 2 / 3])
    assert sources["majority"].right.tolist() == [0.5, 0.0, 1.0]
    assert len(sources["a"].confidence) == 10  # neither the failed nor the ungraded one
    # p0: 0.2 and 0.3 against 0.9 and 0.1 win 2 of 4 pairs; p1: all; p2 has no wrong one with a score.
    assert list(sources["a"].pool_aucs) == [0.5, 1.0]


def test_stored_selections_are_counted_by_position(make_run, look):
    run = make_run(*POOLS)
    run.append_selections(
        "mine",
        [
            Selection("p0", 2, "2", confidence=0.75, note="took the second"),
            Selection("p1", 0, "1", confidence=0.5),
            Selection("p2", None, note="nothing fits"),
        ],
    )
    findings = look(run)
    picks = findings.picks["mine"]
    assert (picks.problems, picks.abstained, picks.right, picks.wrong) == (3, 1, 1, 1)
    assert picks.notes == {"took the second": 1, "nothing fits": 1}
    source = findings.confidences[-1]
    assert (source.name, source.confidence.tolist(), source.right.tolist()) == (
        "selected by mine",
        [0.75, 0.5],
        [0.0, 1.0],
    )


def test_the_spread_is_that_of_the_farthest_two():
    assert spread_of([0.5, 0.75, 0.6]) == 0.25
    assert spread_of([]) == 0.0


def test_selectors_that_look_at_nothing_are_not_compared(make_run, look):
    names = ("oracle", "random", "first", "longest", "shortest", "majority", "score:a")
    assert look(make_run(*POOLS), names).informed == ("majority", "score:a")


def test_selectors_that_look_at_neither_answers_nor_scores_are_not_informed(make_run, look):
    run = make_run(*POOLS)
    assert look(run, names=("first", "random", "longest", "shortest", "majority", "score:a", "oracle")).informed == (
        "majority",
        "score:a",
    )
