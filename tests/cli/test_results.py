"""import, compare, show, export: on two pools whose figures are worked by hand."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.words import named


@pytest.fixture
def run(nbest: Callable, pools_file: Path, tmp_path: Path) -> Path:
    path = tmp_path / "run"
    imported = nbest("import", "pools", path, pools_file, "--json", "-")
    assert imported.code == 0
    assert {name: imported.json[name] for name in ("problems", "trajectories", "verdicts", "scores")} == {
        "problems": 2,
        "trajectories": 8,
        "verdicts": 0,
        "scores": 8,
    }
    assert nbest("verify", path, "--json", "-").json == {
        "run": str(path),
        "trajectories": 8,
        "right": 3,
        "wrong": 5,
        "unjudged": 0,
    }
    return path


def test_compare_prints_the_contract(nbest: Callable, run: Path) -> None:
    shown = nbest(
        "compare", run, *named("first", "random", "majority", "score:guess", "oracle"), "--n", "1,4", "--json", "-"
    )
    assert shown.code == 0
    found = shown.json
    assert (found["problems"], found["n_max"]) == (2, 4)
    rows = {(row["selector"], row["n"]): row for row in found["rows"]}
    names = {"selector", "n", "accuracy", "low", "high", "exact", "seconds", "sampled_tokens"}
    assert all(names <= row.keys() for row in found["rows"])
    accuracy = {key: row["accuracy"] for key, row in rows.items()}
    # random: (2/4 + 1/4) / 2 = 0.375; majority at 4: right on a, wrong on b; score: wrong on a (5 has 0.9), right on b.
    assert accuracy["random", 4] == pytest.approx(0.375)
    assert accuracy["majority", 1] == pytest.approx(0.375)
    assert accuracy["majority", 4] == pytest.approx(0.5)
    assert accuracy["score:guess", 4] == pytest.approx(0.5)
    assert accuracy["oracle", 4] == pytest.approx(1.0)
    assert accuracy["first", 4] == pytest.approx(1.0)
    assert rows["majority", 4]["exact"] is True
    assert rows["majority", 4]["sampled_tokens"] is None
    assert "Accuracy in %, 2 problems" in shown.err


def test_compare_for_people_and_a_chart(nbest: Callable, run: Path, tmp_path: Path) -> None:
    shown = nbest("compare", run, "--chart", tmp_path / "chart")
    assert "majority" in shown.out
    assert (tmp_path / "chart" / "accuracy.png").read_bytes().startswith(b"\x89PNG")
    assert "<html" in (tmp_path / "chart" / "accuracy.html").read_text(encoding="utf-8")


def test_compare_pairs_with_majority(nbest: Callable, run: Path) -> None:
    shown = nbest("compare", run, *named("majority", "vote:guess", "borda:guess"), "--n", "4", "--json", "-")
    rows = {row["selector"]: row for row in shown.json["rows"]}
    paired = {row["selector"]: row for row in shown.json["paired"]}
    # vote: on a 5 weighs 0.9 against 0.1 + 0.2 for 4: wrong; on b 3/4 weighs 0.8 against 0.2 + 0.1: right.
    assert rows["vote:guess"]["accuracy"] == pytest.approx(0.5)
    assert paired["vote:guess"] | {"low": 0, "high": 0} == {
        "selector": "vote:guess",
        "baseline": "majority",
        "n": 4,
        "difference": 0.0,
        "low": 0,
        "high": 0,
        "p_value": 1.0,
        "p_holm": 1.0,
        "problems": 2,
        "problems_differing": 2,
        # The differences are +1 and -1: s^2 = 2, standard error sqrt(2 / 2) = 1, times 1.960 + 0.842.
        "standard_error": 1.0,
        "smallest_detectable": pytest.approx(2.8016, abs=1e-4),
    }
    assert "Difference to majority in points" in shown.err
    other = nbest("compare", run, "--baseline", "random", "--n", "4", "--json", "-")
    assert {row["baseline"] for row in other.json["paired"]} == {"random"}


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("--baseline", "best"), 2, "baseline 'best' is none of"),
        (("--n", "0"), 2, "n: '0' is not a list"),
        (("--n", "x"), 2, "n: 'x' is not a list"),
        (("--resample", "runs"), 2, "resample 'runs' is none of problems, samples, both"),
        (("-s", "none.json"), 2, "none.json: cannot be read"),
        (("-s", "best"), 2, "selector 'best' is none of"),
        (("-s", "score:other"), 5, "holds no scores of 'other'"),
    ],
)
def test_compare_names_what_it_cannot_do(
    nbest: Callable, run: Path, words: tuple[str, ...], code: int, told: str
) -> None:
    shown = nbest("compare", run, *words)
    assert shown.code == code
    assert told in shown.err


def test_compare_by_a_field(nbest: Callable, run: Path) -> None:
    shown = nbest("compare", run, "--by", "kind", *named("random", "majority"), "--json", "-")
    assert shown.json["by"] == "kind"
    assert list(shown.json["groups"]) == ["math"]
    whole = [row["accuracy"] for row in shown.json["rows"]]
    assert [row["accuracy"] for row in shown.json["groups"]["math"]["rows"]] == whole
    assert "by kind (problems)" in " ".join(shown.err.split())  # a title is broken to the width of its table
    unknown = nbest("compare", run, "--by", "level")
    assert unknown.code == 2
    assert "no problem has a field 'level'; there are kind" in unknown.err


def test_compare_several_runs(nbest: Callable, run: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    nbest("import", "pools", other, tmp_path / "pools.jsonl")
    nbest("verify", other)
    words = (*named("random", "majority"), "--n", "1,4", "--resample", "both", "--json", "-")
    shown = nbest("compare", run, other, *words)
    assert shown.code == 0
    assert set(shown.json) == {"runs", "macro", "pooled"}
    assert list(shown.json["runs"]) == ["run", "other"]
    for kind in ("macro", "pooled"):
        rows = {(row["selector"], row["n"]): row["accuracy"] for row in shown.json[kind]["rows"]}
        assert rows["majority", 4] == pytest.approx(0.5)  # both runs hold the same pools
        assert rows["random", 4] == pytest.approx(0.375)
    for told in ("Accuracy in % at N=1", "Accuracy in % at N=4", "macro average over 2 runs, 4 problems"):
        assert told in " ".join(shown.err.split())
    twice = nbest("compare", run, run)
    assert twice.code == 2
    assert "was named twice" in twice.err


def test_show_is_a_page_of_the_pool(nbest: Callable, run: Path) -> None:
    nbest("select", run, "-s", "majority", "-s", "score:guess")
    shown = nbest("show", run, "a", "--json", "-")
    page = shown.json
    assert [(g["answer"], len(g["indices"]), g["correct"]) for g in page["answers"]] == [
        ("4", 2, True),
        ("5", 1, False),
        (None, 1, False),
    ]
    assert {pick["selector"]: pick["index"] for pick in page["picks"]} == {"majority": 0, "score:guess": 2}
    for part in ("2 + 2?", "target 4", "2 right, 2 wrong, 0 ungraded", "majority", "(none)", "trajectory 0"):
        assert part in shown.err
    assert "no idea" in nbest("show", run, "0", "--index", 3).out


@pytest.mark.parametrize(
    ("words", "told"), [(("zzz",), "no problem has the id 'zzz'"), (("a", "--index", "9"), "index 9")]
)
def test_show_names_what_is_not_there(nbest: Callable, run: Path, words: tuple[str, ...], told: str) -> None:
    shown = nbest("show", run, *words)
    assert shown.code == 3
    assert told in shown.err


def test_export_and_import_again(nbest: Callable, run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl.gz"
    assert nbest("export", run, "--out", out).code == 0
    with gzip.open(out, "rt", encoding="utf-8") as file:
        assert [json.loads(line)["problem_id"] for line in file] == ["a", "b"]
    back = tmp_path / "back"
    assert nbest("import", "pools", back, out).code == 0
    words = (*named("majority", "score:guess"), "--n", "4", "--json", "-")
    first, second = (nbest("compare", path, *words).json["rows"] for path in (run, back))
    assert [row["accuracy"] for row in first] == [row["accuracy"] for row in second]


def test_a_bad_line_is_named_and_the_good_ones_are_kept(nbest: Callable, pools_file: Path, tmp_path: Path) -> None:
    pools_file.write_text(pools_file.read_text() + '{"problem_id": "c", "samples": []}\nnot json\n')
    shown = nbest("import", "pools", tmp_path / "run", pools_file)
    assert shown.code == 3
    assert f"{pools_file}:3: question" in shown.err
    assert f"{pools_file}:4" in shown.err
    assert "8 trajectories" in shown.out


def test_benchmarks_are_listed(nbest: Callable) -> None:
    shown = nbest("benchmarks", "--json", "-")
    assert {"aime_2024", "aime_2025"} <= {entry["name"] for entry in shown.json}
    assert "AIME 2024" in shown.err


def test_published_results_stand_beside_ones_own(nbest: Callable, run: Path, tmp_path: Path) -> None:
    shown = nbest("compare", run, "--published", "trajselector", "--chart", tmp_path / "chart", "--json", "-")
    assert shown.code == 0, shown.err
    assert "TrajSelector (published)" in shown.err
    assert shown.json["published"]
    assert (tmp_path / "chart" / "accuracy.png").read_bytes().startswith(b"\x89PNG")
    assert "allowed: trajselector" in nbest("compare", run, "--published", "nobody").err
