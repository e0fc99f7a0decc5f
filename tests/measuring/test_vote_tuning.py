"""Tuning of votes on synthetic pools in which it is known what must be chosen."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from nbest.cli.tune import train_vote
from nbest.errors import ConfigError, UnavailableError
from nbest.measuring.compare import compare
from nbest.measuring.vote_tuning import tune_votes
from nbest.records import Completion, Problem, Score, Trajectory, Verdict
from nbest.scoring.aggregation import aggregate
from nbest.selecting.tuned_votes import TunedVotes, load_power
from nbest.storage.origins import Origin, write_origin
from nbest.storage.run import Run

BEST = 14 / 15
"""Of the C(6, 4) = 15 subsets of two right and four wrong trajectories, 14 have a right one."""
Rate = Callable[[bool, np.random.Generator], Sequence[float]]
"""The step scores of a right or wrong trajectory."""


def write_run(path: Path, rates: dict[str, Rate], problems: int = 40, right: int = 2, wrong: int = 4) -> Run:
    """Pools of `right` trajectories with the answer 1 and `wrong` ones that agree on 2; the value is the mean."""
    run = Run.create(path, {"identity": {"made": "by a test"}, "info": {}})
    run.write_problems([Problem(f"p{number}", "?", "1") for number in range(problems)])
    verdicts, trajectories = [], []
    for number in range(problems):
        for index in range(right + wrong):
            key, answer = f"p{number}#{index}", "1" if index < right else "2"
            trajectories.append(Trajectory(key, f"p{number}", index, index, Completion("x"), answer))
            verdicts.append(Verdict(key, index < right, answer))
    run.append_trajectories(trajectories)
    run.append_verdicts(verdicts)
    for name, rate in rates.items():
        rng = np.random.default_rng(0)
        rows = [(verdict.trajectory_id, tuple(rate(bool(verdict.correct), rng))) for verdict in verdicts]
        run.append_scores(name, [Score(key, aggregate(steps, "mean"), steps) for key, steps in rows])
    return run


def noisy(is_right: bool, rng: np.random.Generator) -> list[float]:
    """The last step knows the outcome; the first two are noise that drowns it in the mean."""
    return [rng.random(), rng.random(), 0.9 if is_right else 0.1]


def timid(is_right: bool, _: np.random.Generator) -> list[float]:
    """Right 0.6, wrong 0.5: two right ones lose against four wrong ones unless the exponent is above 3.8."""
    return [0.6 if is_right else 0.5] * 3


def constant(_: bool, __: np.random.Generator) -> list[float]:
    return [0.5]


def signed(is_right: bool, _: np.random.Generator) -> list[float]:
    return [-1.0 if is_right else -2.0]


def test_the_exponent_is_tuned(tmp_path: Path, strings) -> None:
    # 2 x 0.6^p > 4 x 0.5^p from p = log 2 / log 1.2 = 3.8 on: 4 is the first power that wins in pools of 6. In subsets
    # of 4 one right one may stand against three wrong ones, which needs 0.6^p > 3 x 0.5^p, p > 6.03: 8.
    report = tune_votes(write_run(tmp_path / "run", {"a": timid}), ["a"], strings)
    assert report.sizes == (4,)
    (tuned,) = report.tuned
    assert (tuned.best.rule, tuned.best.power) == ("vote", 8.0)
    assert tuned.accuracy == tuned.held_out == pytest.approx(BEST)
    assert tuned.untuned < 0.5
    assert report.votes == {"a": ("vote", 8.0)}


def test_the_aggregation_is_tuned(tmp_path: Path, strings) -> None:
    report = tune_votes(write_run(tmp_path / "run", {"a": noisy}), ["a"], strings)
    (tuned,) = report.tuned
    assert tuned.best.aggregation == "last"
    assert tuned.accuracy > tuned.untuned
    # The stored values are means: the power of `vote:a` is tuned for them and not for the last step.
    assert report.votes["a"][0] == "vote"


def test_nothing_is_changed_where_nothing_helps(tmp_path: Path, strings) -> None:
    report = tune_votes(write_run(tmp_path / "run", {"a": constant}), ["a"], strings)
    (tuned,) = report.tuned
    assert (tuned.best.aggregation, tuned.best.rule, tuned.best.power) == (None, "vote", 1.0)
    assert tuned.accuracy == tuned.untuned == tuned.held_out == pytest.approx(report.majority)


def test_scores_of_any_sign_are_ranked(tmp_path: Path, strings) -> None:
    report = tune_votes(write_run(tmp_path / "run", {"a": signed}), ["a"], strings)
    assert report.votes["a"][0] == "borda"
    assert report.tuned[0].best.rule == "borda"
    assert report.tuned[0].accuracy == pytest.approx(BEST)


def store_origin(run: Run, name: str, **options: str) -> None:
    identity = {"method": "trajselector", "options": options, "model": {"content_hash": "abc"}}
    write_origin(run.results_folder("scores", name), Origin(identity, {}))


def test_read_outs_of_one_model_are_one_choice(tmp_path: Path, strings) -> None:
    run = write_run(tmp_path / "run", {"right": timid, "not-wrong": noisy, "other": constant})
    store_origin(run, "right")
    store_origin(run, "not-wrong", readout="not-wrong")
    report = tune_votes(run, ["right", "not-wrong", "other"], strings)
    first, second = report.tuned
    assert first.scores == ("right", "not-wrong")
    assert second.scores == ("other",)
    # The last step of the read-out `not-wrong` is always right, at any exponent of at least 1; `right` needs 8.
    assert first.accuracy == pytest.approx(BEST)
    assert first.best.name == "right"  # the first of equal ones
    assert first.scorer == "trajselector"
    run = write_run(tmp_path / "second", {"right": constant, "not-wrong": noisy})
    store_origin(run, "right")
    store_origin(run, "not-wrong", readout="not-wrong")
    (tuned,) = tune_votes(run, ["right", "not-wrong"], strings).tuned
    assert tuned.best.name == "not-wrong"
    assert tuned.scorer == "trajselector(aggregation=last, readout=not-wrong)"


def test_the_figure_of_held_out_problems_is_not_that_of_the_choice(tmp_path: Path, strings) -> None:
    def guess(_: bool, rng: np.random.Generator) -> list[float]:
        return list(rng.random(4))

    (tuned,) = tune_votes(write_run(tmp_path / "run", {"a": guess}, problems=12), ["a"], strings).tuned
    assert tuned.held_out <= tuned.accuracy


def test_what_a_run_lacks_is_named(tmp_path: Path, strings) -> None:
    run = write_run(tmp_path / "run", {"a": timid})
    with pytest.raises(UnavailableError, match="no scores of 'b'"):
        tune_votes(run, ["a", "b"], strings)
    with pytest.raises(UnavailableError, match=r"9 problems .* tuning needs 10"):
        tune_votes(write_run(tmp_path / "small", {"a": timid}, problems=9), ["a"], strings)


def test_the_command_writes_what_the_vote_reads(tmp_path: Path, strings) -> None:
    run = write_run(tmp_path / "run", {"a": timid, "b": signed})
    app = typer.Typer()
    app.command()(train_vote)
    out, told = tmp_path / "votes.json", tmp_path / "report.json"
    result = CliRunner().invoke(app, [str(run.path), "--out", str(out), "--json", str(told)])
    assert result.exit_code == 0, result.output
    assert json.loads(told.read_text())["scorers"][0]["best"]["power"] == 8
    assert TunedVotes.load(out).votes["a"] == ("vote", 8.0)
    names = ["vote:a", f"vote(file={out}):a", "vote(power=8):a"]
    result = compare(run, names, [4], equivalence=strings)
    untuned, tuned, by_hand = (next(row.accuracy for row in result.rows if row.selector == name) for name in names)
    assert tuned == by_hand == pytest.approx(BEST)
    assert untuned < tuned


def test_a_file_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "votes.json"
    TunedVotes({"a": ("vote", 2.0), "b": ("borda", 4.0)}, {}).save(path)
    assert load_power(path, "a") == 2.0
    with pytest.raises(ConfigError, match=r"no vote of the scorer 'c'; it has a, b"):
        load_power(path, "c")
    with pytest.raises(ConfigError, match=r"select by borda\(power=4\):b"):
        load_power(path, "b")
    for text in ("", "[]", "{}", '{"kind": "nbest-tuned-votes", "format": 2}', '{"kind": "nbest-tuned-votes"}'):
        path.write_text(text)
        with pytest.raises(ConfigError, match="cannot be used"):
            load_power(path, "a")
    with pytest.raises(ConfigError, match="cannot be used"):
        load_power(tmp_path / "nowhere.json", "a")
