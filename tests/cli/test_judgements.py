"""Generative selectors from the command line, on a judge without a model."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from nbest.storage.run import Run
from tests.cli.words import named

ALL = ("genselect", "genselect-tournament", "genselect-vote", "knockout")

JUDGE = """
style = "compact"
thinking = "keep"
repeats = 2
retries = 1

[policy]
type = "scripted"
script = ["Judgment: 0", "I cannot say.", "Judgment: 9"]
"""


@pytest.fixture
def judge(tmp_path: Path) -> Path:
    path = tmp_path / "judge.toml"
    path.write_text(JUDGE)
    return path


@pytest.fixture
def run(nbest: Callable, pools_file: Path, tmp_path: Path) -> Path:
    path = tmp_path / "run"
    assert nbest("import", "pools", path, pools_file).code == 0
    return path


def test_judgements_are_counted_and_told(nbest: Callable, run: Path, judge: Path) -> None:
    words = [word for name in ALL for word in ("-s", name)]
    result = nbest("select", run, *words, "--judge-config", judge, "--json", "-")
    assert result.code == 0
    rows = {row["selector"]: row for row in result.json["selections"]}
    assert set(rows) == set(ALL)
    for row in rows.values():
        counts = row["judgements"]
        assert row["selected"] + row["abstained"] == counts["selections"] == 2
        assert counts["calls"] == counts["judged"] + sum(counts["retried"].values()) + sum(counts["failed"].values())
        assert set(counts["failed"]) | set(counts["retried"]) <= {"unparsed", "out-of-range"}
        assert counts["abstained"] == row["abstained"]
    assert "prompt tokens" in result.err
    again = nbest("select", run, "-s", "genselect", "--judge-config", judge, "--json", "-")
    assert again.json["selections"][0]["judgements"]["calls"] == 0


def test_the_first_n_and_a_name_of_its_own(nbest: Callable, run: Path, judge: Path) -> None:
    words = ("-s", "genselect-vote", "--judge-config", judge, "--seed", 3)
    assert nbest("select", run, *words, "--n", 2, "--as", "cold").code == 0
    assert nbest("select", run, "-s", "majority", "--n", 3).code == 0
    assert Run.open(run).selectors() == ["cold@2", "majority@3"]
    assert all(selection.index is None or selection.index < 2 for selection in Run.open(run).selections("cold@2"))
    result = nbest("select", run, "-s", "majority", "--n", 5)
    assert (result.code, "fewer than 5" in result.err) == (5, True)


def test_a_selection_among_the_first_stands_at_that_n(nbest: Callable, run: Path) -> None:
    assert nbest("verify", run).code == 0
    assert nbest("select", run, "-s", "majority", "--n", 2).code == 0
    comparison = nbest("compare", run, *named("stored:majority@2", "random"), "--n", "2", "--json", "-")
    assert comparison.code == 0
    rows = {row["selector"]: row for row in comparison.json["rows"]}
    # Problem a: 4 and 4.0 agree and are right. Problem b: 3/4 and 2 tie, the first one wins and is right.
    assert rows["stored:majority@2"]["accuracy"] == 1.0


def test_a_generative_selector_is_compared_by_its_selections(nbest: Callable, run: Path, judge: Path) -> None:
    assert nbest("verify", run).code == 0
    words = ("compare", run, *named("genselect-vote", "random"), "--n", "4", "--json", "-")
    before = nbest(*words)
    assert before.code == 2
    message = " ".join(before.err.split())
    assert "selector 'genselect-vote' has no curve" in message
    assert f"nbest select {run} -s genselect-vote --judge MODEL" in message

    assert nbest("select", run, "-s", "genselect-vote", "--judge-config", judge, "--n", 2).code == 0
    assert "or compare those it has: -s stored:genselect-vote@2" in " ".join(nbest(*words).err.split())

    assert nbest("select", run, "-s", "genselect-vote", "--judge-config", judge).code == 0
    after = nbest(*words)
    assert after.code == 0, after.err
    rows = {row["selector"]: row["accuracy"] for row in after.json["rows"]}
    stored = nbest("compare", run, *named("stored:genselect-vote", "random"), "--n", "4", "--json", "-")
    assert rows == {row["selector"]: row["accuracy"] for row in stored.json["rows"]}
    assert set(rows) == {"stored:genselect-vote", "random"}


def test_the_scorer(nbest: Callable, run: Path, judge: Path) -> None:
    result = nbest("score", run, "-s", "genselect", "--judge-config", judge, "--json", "-")
    assert result.code == 0
    (row,) = result.json["scores"]
    assert row["scored"] + row["without"] == 8
    assert row["judgements"]["calls"] > 0
    assert nbest("select", run, "-s", "score:genselect").code == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("-s", "genselect"), "selector 'genselect' asks a model: name it with --judge"),
        (("-s", "majority", "--judge", "x"), "--judge is not used by majority; it belongs to genselect,"),
        (("-s", "majority", "-s", "first", "--as", "x"), "--as belongs to one selector; 2 were named"),
        (("-s", "genselect", "--judge", "bundled:absent"), "is not in this package"),
        (("-s", "genselect", "--judge-config", "FILE"), "windows: unknown key"),
        (("-s", "majority", "--as", "@x"), "cannot be a name"),
    ],
)
def test_faulty_commands(nbest: Callable, run: Path, tmp_path: Path, words: tuple, message: str) -> None:
    (tmp_path / "faulty.toml").write_text("windows = 8\n")
    result = nbest("select", run, *(tmp_path / "faulty.toml" if word == "FILE" else word for word in words))
    assert result.code == 2
    assert message in " ".join(result.err.split())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("-s", "genselect"),
            "scorer 'genselect' asks a model: name it with --judge",
        ),
        (("-s", "mean-logprob", "--judge", "x"), "--judge is not used by mean-logprob; it belongs to genselect."),
        (("-s", "genselect", "-s", "mean-logprob", "--judge", "x"), "belong to one scorer; 2 were named"),
        (("-s", "genselect", "--judge-config", "x.toml"), "x.toml: cannot be read"),
        (("-s", "genselect", "--judge", "bundled:absent"), "is not in this package"),
    ],
)
def test_faulty_commands_of_the_scorer(nbest: Callable, run: Path, words: tuple, message: str) -> None:
    result = nbest("score", run, *words)
    assert result.code == 2
    assert message in " ".join(result.err.split())


def test_settings_of_a_trained_selector_are_used(tmp_path: Path) -> None:
    from nbest.config import GenerativeConfig, PolicyConfig
    from nbest.judging.models import load_judge

    (tmp_path / "selection.json").write_text(json.dumps({"style": "compact", "window": 1}))
    with pytest.raises(ValueError, match=r"selection\.json: window"):
        load_judge(GenerativeConfig(policy=PolicyConfig(model=str(tmp_path))))


@pytest.mark.parametrize(("command", "name"), [("score", "genselect"), ("select", "genselect-vote")])
def test_what_lacks_some_judgements_is_made_again(
    nbest: Callable, run: Path, tmp_path: Path, command: str, name: str
) -> None:
    judge = tmp_path / "half.toml"
    judge.write_text(JUDGE.replace("repeats = 2\nretries = 1", "repeats = 12\nretries = 0"))
    words = (command, run, "-s", name, "--judge-config", judge, "--json", "-")
    assert nbest(*words).code == 0
    results = list(Run.open(run).scores(name) if command == "score" else Run.open(run).selections(name))
    lacking = [result for result in results if "judgements failed and" in result.note]
    assert 0 < len(lacking) < len(results) or command == "select"
    again = nbest(*words, "--redo", "failed")
    (report,) = again.json["scores" if command == "score" else "selections"]
    assert report["redone"] >= len(lacking) > 0
    assert report["judgements"]["calls"] > 0
