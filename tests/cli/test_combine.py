import json

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from nbest.cli.combine import train_combined
from nbest.errors import ConfigError
from nbest.records import Completion, Problem, Score, Trajectory, Verdict
from nbest.selecting.combined.model import CombinedModel
from nbest.storage.run import Run


@pytest.fixture
def run_path(tmp_path):
    """30 problems of 4 attempts with answers 1 (right) to 3 and a score `a` that knows a little."""
    rng = np.random.default_rng(0)
    run = Run.create(tmp_path / "run", {"identity": {"policy": {"content_hash": "abc"}}, "info": {}})
    run.write_problems([Problem(f"p{number}", "?", "1") for number in range(30)])
    keys = [(f"p{number}", index) for number in range(30) for index in range(4)]
    answers = [str(answer) for answer in rng.integers(1, 4, len(keys))]
    trajectories = [
        Trajectory(f"{p}#{i}", p, i, 0, Completion("x"), a) for (p, i), a in zip(keys, answers, strict=True)
    ]
    run.append_trajectories(trajectories)
    run.append_verdicts(
        [Verdict(trajectory.id, trajectory.answer == "1", trajectory.answer) for trajectory in trajectories]
    )
    run.append_scores(
        "a", [Score(trajectory.id, (trajectory.answer == "1") + rng.normal()) for trajectory in trajectories]
    )
    return run.path


@pytest.fixture
def app():
    trajectories = typer.Typer()
    trajectories.command()(train_combined)
    return trajectories


def test_fits_writes_and_reports(app, run_path, tmp_path):
    out = tmp_path / "combined.json"
    result = CliRunner().invoke(app, [str(run_path), "--out", str(out), "--json", str(tmp_path / "report.json")])
    assert result.exit_code == 0, result.output
    model = CombinedModel.load(out)
    assert (model.scorers, model.policy) == (("a",), "abc")
    report = json.loads((tmp_path / "report.json").read_text())
    assert set(report["accuracy"]["combined"]) == {"1", "2", "4"}
    assert "expected calibration error" in result.output


def test_an_unknown_calibration_is_a_fault_of_the_settings(app, run_path, tmp_path):
    result = CliRunner().invoke(app, [str(run_path), "--out", str(tmp_path / "x.json"), "--calibration", "magic"])
    assert isinstance(result.exception, ConfigError)
    assert not (tmp_path / "x.json").exists()


@pytest.fixture
def selector_file(nbest, run_path, tmp_path):
    out = tmp_path / "combined.json"
    assert nbest("train", "combined", run_path, "--out", out, "-s", "a").code == 0
    return out


def test_a_fitted_file_is_compared_and_selected_by_its_path(nbest, run_path, selector_file):
    outcome = nbest("compare", run_path, "-s", "majority", "-s", selector_file, "--n", "4", "--json", "-")
    assert outcome.code == 0, outcome.err
    rows = {row["selector"]: row for row in outcome.json["rows"]}
    assert set(rows) == {"majority", "combined"}
    former = nbest(
        "compare", run_path, "--selectors", "majority", "--combined", selector_file, "--n", "4", "--json", "-"
    )
    assert former.json["rows"][1]["accuracy"] == rows["combined"]["accuracy"]
    assert "note: --selectors A,B is now -s A -s B" in former.err
    assert f"-s {selector_file}" in former.err.replace("\n", "")
    beside = nbest("compare", run_path, "--combined", selector_file, "--n", "4", "--json", "-")
    assert {"combined", "majority", "score:a", "oracle"} <= {row["selector"] for row in beside.json["rows"]}

    assert nbest("select", run_path, "-s", selector_file).code == 0
    assert Run.open(run_path).selectors() == ["combined"]
    again = nbest("select", run_path, "-s", "combined", "--combined", selector_file, "--json", "-")
    assert again.json["selections"] == [{"selector": "combined", "selected": 30, "abstained": 0}]
    assert Run.open(run_path).selectors() == ["combined"]


def test_a_fitted_file_can_be_reported(nbest, run_path, selector_file, tmp_path):
    outcome = nbest("report", run_path, "-s", "majority", "-s", selector_file, "--n", "4", "--out", tmp_path / "report")
    assert outcome.code == 0, outcome.err
    assert "combined" in (tmp_path / "report" / "report.html").read_text(encoding="utf-8")


def test_scorers_that_the_run_does_not_hold(nbest, run_path, tmp_path):
    outcome = nbest("train", "combined", run_path, "--out", tmp_path / "x.json", "-s", "b")
    assert outcome.code == 5
    assert "no scores of 'b'" in outcome.err
