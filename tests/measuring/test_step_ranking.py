import json

import numpy as np
import pytest

from nbest.formats.importing import import_files
from nbest.measuring.compare import compare
from nbest.measuring.step_ranking import align_labels
from nbest.storage.run import Run


@pytest.mark.parametrize(
    ("meta", "labels"),
    [
        ({"step_labels": [True, False, True]}, [True, False, True]),
        ({"first_wrong_step": 1}, [True, False]),
        ({"first_wrong_step": 0}, [False]),
        ({"first_wrong_step": -1}, [True, True, True]),
        ({"first_wrong_step": 1, "step_labels": [True, False, False]}, [True, False, False]),
        ({"step_labels": [True, False]}, None),
        ({"first_wrong_step": 3}, None),
        ({"first_wrong_step": "second"}, []),
        ({}, []),
    ],
)
def test_labels_meet_their_scores(meta, labels):
    steps = align_labels(meta, [0.9, 0.2, 0.5])
    if labels is None:
        assert steps is None
    else:
        assert steps is not None
        assert steps[0].tolist() == labels
        assert steps[1].tolist() == [0.9, 0.2, 0.5][: len(labels)]


def test_a_step_without_a_score_is_left_out():
    steps = align_labels({"step_labels": [True, False]}, [np.nan, 0.2])
    assert steps is not None
    assert (steps[0].tolist(), steps[1].tolist()) == ([False], [0.2])


@pytest.fixture
def labelled(tmp_path):
    """Return a function that imports one pool per argument: samples of (meta, step scores)."""

    def import_pools(*pools):
        lines = [
            {
                "problem_id": f"p{number}",
                "question": "?",
                "target": "1",
                "samples": [
                    {"text": "\\boxed{1}", "correct": True, "scores": {"prm": 0.5}, "step_scores": {"prm": scores}}
                    | meta
                    for meta, scores in samples
                ],
            }
            for number, samples in enumerate(pools)
        ]
        file = tmp_path / "pools.jsonl"
        file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        assert import_files(tmp_path / "run", "pools", [file]).is_clean
        return Run.open(tmp_path / "run")

    return import_pools


def test_step_auc_of_imported_labels(labelled, strings):
    run = labelled(
        # Right 0.9 and 0.3, wrong 0.5; of the second only the first step is known, and it is wrong with 0.1: 3 of 4.
        [({"first_wrong_step": 1}, [0.9, 0.5, 0.2]), ({"step_labels": [True, False]}, [0.3, 0.1])],
        # All right: no pair.
        [({"first_wrong_step": -1}, [0.2, 0.1])],
        # Right 0.2 against wrong 0.8.
        [({"step_labels": [True, False]}, [0.2, 0.8]), ({"step_labels": [True]}, [0.9, 0.9])],
    )
    result = compare(run, ["majority"], [1], equivalence=strings)
    (ranking,) = result.scores
    assert (ranking.step_auc, ranking.step_pools) == (pytest.approx((3 / 4 + 0) / 2), 2)
    assert (ranking.step_low, ranking.step_high) == (0.0, 0.75)
    assert (ranking.auc, ranking.pools) == (None, 0)
    assert result.scores_table().heads[4:] == ["step AUC", "95% interval", "pools with right and wrong steps"]
    assert result.scores_table().rows == [["prm", "-", "-", "0", "0.375", "-", "2"]]
    assert "prm: 1 trajectory has other numbers of step labels and step scores; left out" in result.warnings


def test_a_run_without_labels_has_no_column_of_steps(labelled, strings):
    result = compare(labelled([({}, [0.1])]), ["majority"], [1], equivalence=strings)
    assert len(result.scores_table().heads) == 4
    assert result.scores[0].step_auc is None
