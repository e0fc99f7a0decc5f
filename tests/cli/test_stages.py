"""sample, verify, select, compact on a policy without a model; what a faulty command prints."""

from collections.abc import Callable
from pathlib import Path

import pytest

from nbest.storage.run import Run


def test_sample_verify_select_compact(nbest: Callable, script: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    sampled = nbest("sample", run, "--config", script, "--json", "-")
    assert sampled.code == 0
    assert (sampled.json["drawn"], sampled.json["trajectories"]) == (20, 20)
    assert "20 trajectories drawn" in sampled.err

    again = nbest("sample", run, "--config", script, "--n", 6, "--json", "-")
    assert (again.json["drawn"], again.json["trajectories"]) == (10, 30)

    verified = nbest("verify", run, "--json", "-")
    assert verified.code == 0
    assert verified.json["right"] + verified.json["wrong"] == verified.json["trajectories"] == 30

    selected = nbest("select", run, "-s", "majority", "-s", "first", "--json", "-")
    assert [row["selector"] for row in selected.json["selections"]] == ["majority", "first"]
    assert all(row["selected"] + row["abstained"] == 5 for row in selected.json["selections"])

    compacted = nbest("compact", run, "--json", "-")
    folders = {folder["folder"]: folder for folder in compacted.json["folders"]}
    assert folders["trajectories"]["parts_before"] == 2
    assert folders["trajectories"]["parts_after"] == 1
    assert len(Run.open(run).done_trajectories()) == 30


def test_the_answer_rule_of_a_run(nbest: Callable, script: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert nbest("sample", run, "--config", script, "--answer", "last-number").code == 0
    assert {problem.answer_rule for problem in Run.open(run).problems()} == {"last-number"}
    verified = nbest("verify", run)
    assert "answers: 13 read (last-number 13)\n" in verified.out
    assert "of 20 trajectories: 7 no answer read (35.0 %), 0 ungraded" in verified.out
    assert nbest("verify", run, "--json", "-").json["answers"] == {
        "read": 13,
        "unread": 7,
        "by_rule": {"last-number": 13},
    }
    other = nbest("sample", run, "--config", script)
    assert other.code == 2
    assert "problems.hash" in other.err


def test_a_faulty_answer_rule_is_refused_before_anything_is_drawn(
    nbest: Callable, script: Path, pools_file: Path, tmp_path: Path
) -> None:
    result = nbest("sample", tmp_path / "run", "--config", script, "--answer", "regex:(")
    assert result.code == 2
    assert "no regular expression" in result.err
    assert not (tmp_path / "run").exists()
    result = nbest("import", "pools", tmp_path / "other", pools_file, "--answer", "lastnumber")
    assert result.code == 2
    assert "Did you mean 'last-number'?" in result.err


def test_import_prints_how_answers_were_read(nbest: Callable, pools_file: Path, tmp_path: Path) -> None:
    result = nbest("import", "pools", tmp_path / "run", pools_file)
    assert "answers: 7 read (box 7), 1 not read" in result.out
    result = nbest("import", "pools", tmp_path / "other", pools_file, "--answer", r"regex:boxed\{(\d)\}", "--json", "-")
    assert result.json["answers"] == {"read": 5, "unread": 3, "by_rule": {r"regex:boxed\{(\d)\}": 5}}


def test_other_settings_need_another_folder(nbest: Callable, script: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    nbest("sample", run, "--config", script)
    result = nbest("sample", run, "--config", script, "--temperature", 1.5, "--seed", 4)
    assert result.code == 2
    assert "seed: the run has 3, this command 4" in result.err
    assert "sampling.temperature: the run has 0.6, this command 1.5" in result.err


def test_a_capture_is_refused_before_anything_is_drawn(nbest: Callable, script: Path, tmp_path: Path) -> None:
    result = nbest("sample", tmp_path / "run", "--config", script, "--capture")
    assert result.code == 5
    assert "no hidden states" in result.err


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (
            ("sample", "RUN", "--config", "absent"),
            2,
            "nor one of the configs of the package (arithmetic, ",
        ),
        (("sample", "RUN", "--shard", "4/4"), 2, "shard: '4/4' is not INDEX/COUNT"),
        (("sample", "RUN", "--policy", "bundled:absent"), 2, "is not in this package"),
        (("sample", "RUN", "--problems", "absent"), 2, "absent"),
        (("sample", "RUN", "--split", "dev"), 2, "problems.split"),
        (("verify", "RUN"), 2, "is not a run folder"),
        (("compare", "RUN"), 2, "is not a run folder"),
        (("show", "RUN", "0"), 2, "is not a run folder"),
        (("export", "RUN", "--out", "x.jsonl"), 2, "is not a run folder"),
        (("compact", "RUN"), 2, "is not a run folder"),
        (("encode", "RUN"), 2, "is not a run folder"),
        (("select", "RUN", "-s", "majority"), 2, "is not a run folder"),
        (("import", "pools", "RUN", "absent.jsonl"), 2, "there is no such file"),
        (("train", "policy", "absent.toml"), 2, "absent.toml: cannot be read"),
        (("nonsense",), 2, "No such command"),
    ],
)
def test_faults_are_told_without_a_traceback(
    nbest: Callable, tmp_path: Path, words: tuple[str, ...], code: int, message: str
) -> None:
    result = nbest(*(str(tmp_path / "run") if word == "RUN" else word for word in words))
    assert result.code == code
    assert message in result.err
    assert "Traceback" not in result.err


def test_stages_without_input_say_what_comes_first(nbest: Callable, tmp_path: Path) -> None:
    Run.create(tmp_path / "run", {"identity": {}, "info": {}})
    for words in (("verify",), ("select", "-s", "first"), ("encode", "--policy", "x")):
        result = nbest(words[0], tmp_path / "run", *words[1:])
        assert result.code == 5
        assert "nbest sample" in result.err


@pytest.mark.parametrize(
    ("name", "message"), [("best", "is none of first, random"), ("oracle", "never a selection"), ("score:none", "none")]
)
def test_unknown_selectors_are_refused(nbest: Callable, script: Path, tmp_path: Path, name: str, message: str) -> None:
    nbest("sample", tmp_path / "run", "--config", script)
    result = nbest("select", tmp_path / "run", "-s", name)
    assert result.code in (2, 5)
    assert message in result.err


def test_a_damaged_part_is_named(nbest: Callable, script: Path, tmp_path: Path) -> None:
    nbest("sample", tmp_path / "run", "--config", script)
    part = next((tmp_path / "run" / "trajectories").glob("part-*"))
    part.write_bytes(part.read_bytes()[:-40])
    for words in (("verify",), ("compare",), ("show", "0"), ("compact",), ("sample", "--config", str(script))):
        result = nbest(words[0], tmp_path / "run", *words[1:])
        assert result.code == 4
        assert part.name in result.err


def test_version(nbest: Callable) -> None:
    assert nbest("--version").out.startswith("nbest ")
