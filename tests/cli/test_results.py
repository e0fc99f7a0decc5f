"""import, compare, show, export: on two pools whose figures are worked by hand."""

import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.words import named

COUNTS = {
    "trajectories": 8,
    "without_answer": 1,
    "ungraded": 0,
    "failed": 0,
    "cut": 0,
    "large_shares": {"without_answer": 0.125},
}
WARNING = "warning: of 8 trajectories, 12.5 % have no answer that could be read (1)"
COUNTED = "of 8 trajectories: 1 no answer read (12.5 %), 0 ungraded, 0 failed, 0 cut at the token limit"


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
        "ungraded": 0,
        "answers": {"read": 7, "unread": 1, "by_rule": {"box": 7}},
        "counts": COUNTS,
    }
    return path


def test_compare_prints_the_contract(nbest: Callable, run: Path) -> None:
    output = nbest(
        "compare", run, *named("first", "random", "majority", "score:guess", "oracle"), "--n", "1,4", "--json", "-"
    )
    assert output.code == 0
    result = output.json
    assert (result["problems"], result["n_max"]) == (2, 4)
    rows = {(row["selector"], row["n"]): row for row in result["rows"]}
    names = {"selector", "n", "accuracy", "low", "high", "exact", "seconds", "sampled_tokens"}
    assert all(names <= row.keys() for row in result["rows"])
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
    assert "Accuracy in %, 2 problems" in output.err


def test_compare_for_people_and_a_chart(nbest: Callable, run: Path, tmp_path: Path) -> None:
    output = nbest("compare", run, "--chart", tmp_path / "chart")
    assert "majority" in output.out
    assert (tmp_path / "chart" / "accuracy.png").read_bytes().startswith(b"\x89PNG")
    assert "<html" in (tmp_path / "chart" / "accuracy.html").read_text(encoding="utf-8")


def test_compare_pairs_with_majority(nbest: Callable, run: Path) -> None:
    output = nbest("compare", run, *named("majority", "vote:guess", "borda:guess"), "--n", "4", "--json", "-")
    rows = {row["selector"]: row for row in output.json["rows"]}
    paired = {row["selector"]: row for row in output.json["paired"]}
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
        "fewest_problems": None,
    }
    assert "Difference to majority in points" in output.err
    other = nbest("compare", run, "--baseline", "random", "--n", "4", "--json", "-")
    assert {row["baseline"] for row in other.json["paired"]} == {"random"}


@pytest.mark.parametrize(
    ("words", "code", "message"),
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
    nbest: Callable, run: Path, words: tuple[str, ...], code: int, message: str
) -> None:
    output = nbest("compare", run, *words)
    assert output.code == code
    assert message in output.err


def test_compare_by_a_field(nbest: Callable, run: Path) -> None:
    output = nbest("compare", run, "--by", "kind", *named("random", "majority"), "--json", "-")
    assert output.json["by"] == "kind"
    assert list(output.json["groups"]) == ["math"]
    whole = [row["accuracy"] for row in output.json["rows"]]
    assert [row["accuracy"] for row in output.json["groups"]["math"]["rows"]] == whole
    assert "by kind (problems)" in " ".join(output.err.split())  # a title is broken to the width of its table
    unknown = nbest("compare", run, "--by", "level")
    assert unknown.code == 2
    assert "no problem has a field 'level'; there are kind" in unknown.err


def test_compare_several_runs(nbest: Callable, run: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    nbest("import", "pools", other, tmp_path / "pools.jsonl")
    nbest("verify", other)
    words = (*named("random", "majority"), "--n", "1,4", "--resample", "both", "--json", "-")
    output = nbest("compare", run, other, *words)
    assert output.code == 0
    assert set(output.json) == {"runs", "macro", "pooled"}
    assert list(output.json["runs"]) == ["run", "other"]
    for kind in ("macro", "pooled"):
        rows = {(row["selector"], row["n"]): row["accuracy"] for row in output.json[kind]["rows"]}
        assert rows["majority", 4] == pytest.approx(0.5)  # both runs hold the same pools
        assert rows["random", 4] == pytest.approx(0.375)
    for title in ("Accuracy in % at N=1", "Accuracy in % at N=4", "macro average over 2 runs, 4 problems"):
        assert title in " ".join(output.err.split())
    twice = nbest("compare", run, run)
    assert twice.code == 2
    assert "was named twice" in twice.err


def test_show_is_a_page_of_the_pool(nbest: Callable, run: Path) -> None:
    nbest("select", run, "-s", "majority", "-s", "score:guess")
    output = nbest("show", run, "a", "--json", "-")
    page = output.json
    assert [(g["answer"], len(g["indices"]), g["correct"]) for g in page["answers"]] == [
        ("4", 2, True),
        ("5", 1, False),
        (None, 1, False),
    ]
    assert {pick["selector"]: pick["index"] for pick in page["picks"]} == {"majority": 0, "score:guess": 2}
    for part in ("2 + 2?", "target 4", "2 right, 2 wrong, 0 ungraded", "majority", "(none)", "trajectory 0"):
        assert part in output.err
    assert "no idea" in nbest("show", run, "0", "--index", 3).out


@pytest.mark.parametrize(
    ("words", "message"), [(("zzz",), "no problem has the id 'zzz'"), (("a", "--index", "9"), "index 9")]
)
def test_show_names_what_is_not_there(nbest: Callable, run: Path, words: tuple[str, ...], message: str) -> None:
    output = nbest("show", run, *words)
    assert output.code == 3
    assert message in output.err


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
    output = nbest("import", "pools", tmp_path / "run", pools_file)
    assert output.code == 3
    assert f"{pools_file}:3: question" in output.err
    assert f"{pools_file}:4" in output.err
    assert "8 trajectories" in output.out


def test_benchmarks_are_listed(nbest: Callable) -> None:
    output = nbest("benchmarks", "--json", "-")
    assert {"aime_2024", "aime_2025"} <= {entry["name"] for entry in output.json}
    assert "AIME 2024" in output.err


def test_published_results_stand_beside_ones_own(nbest: Callable, run: Path, tmp_path: Path) -> None:
    output = nbest("compare", run, "--published", "trajselector", "--chart", tmp_path / "chart", "--json", "-")
    assert output.code == 0, output.err
    assert "TrajSelector (published)" in output.err
    assert output.json["published"]
    assert (tmp_path / "chart" / "accuracy.png").read_bytes().startswith(b"\x89PNG")
    assert "allowed: trajselector" in nbest("compare", run, "--published", "nobody").err


def test_many_trajectories_without_an_answer_come_first(nbest: Callable, run: Path) -> None:
    for words in (("compare", run), ("verify", run), ("report", run, "--n", "1,4")):
        lines = nbest(*words).out.splitlines()
        assert lines[0] == WARNING, words
        assert COUNTED in lines, words
    lines = nbest("compare", run).out.splitlines()
    assert lines.count(COUNTED) == 3  # under the accuracies, the differences and the scores


def test_a_share_of_five_percent_is_no_warning(nbest: Callable, tmp_path: Path) -> None:
    samples = [{"text": "\\boxed{4}"} for _ in range(19)] + [{"text": "no idea"}]
    pools_file = tmp_path / "twenty.jsonl"
    line = {"problem_id": "a", "question": "2 + 2?", "target": "4", "samples": samples}
    pools_file.write_text(json.dumps(line) + "\n", encoding="utf-8")
    nbest("import", "pools", tmp_path / "run", pools_file)
    output = nbest("verify", tmp_path / "run")
    assert "warning" not in output.out
    assert "of 20 trajectories: 1 no answer read (5.0 %), 0 ungraded, 0 failed, 0 cut" in output.out


def test_several_runs_warn_and_count_run_by_run(nbest: Callable, run: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    nbest("import", "pools", other, tmp_path / "pools.jsonl")
    nbest("verify", other)
    output = nbest("compare", run, other, *named("random", "majority"), "--n", "4")
    lines = output.out.splitlines()
    message = WARNING.removeprefix("warning: ")
    assert lines[:2] == [f"warning: run: {message}", f"warning: other: {message}"]
    assert {f"run: {COUNTED}", f"other: {COUNTED}"} <= set(lines)
    assert lines.count("of 16 trajectories: 2 no answer read (12.5 %), 0 ungraded, 0 failed, 0 cut at the token limit")


def test_a_right_answer_that_cannot_vote_is_explained(nbest: Callable, tmp_path: Path) -> None:
    samples = [{"text": "\\boxed{4}", "correct": True}, {"text": "four of them, say", "correct": True}]
    samples += [{"text": "\\boxed{5}", "correct": False}, {"text": "\\boxed{6}", "correct": False}]
    pools_file = tmp_path / "graded.jsonl"
    line = {"problem_id": "a", "question": "2 + 2?", "target": "4", "samples": samples}
    pools_file.write_text(json.dumps(line) + "\n", encoding="utf-8")
    nbest("import", "pools", tmp_path / "run", pools_file, "--answer", "regex:boxed.([0-9]+)")
    output = nbest("compare", tmp_path / "run", *named("majority", "oracle"))
    reason = "because 1 right trajectory has no answer that could be read, and so no vote"
    assert f"note: N=1: pass@1 is 50.0, but majority: 25.0, {reason}" in output.out


def test_compare_prints_how_scores_rank_within_pools(nbest: Callable, run: Path) -> None:
    output = nbest("compare", run, *named("majority"), "--json", "-")
    # a: 0.1 and 0.2 are right, 0.9 and 0.3 wrong: 0 of 4 pairs. b: 0.8 against 0.2, 0.1 and 0: 3 of 3.
    (ranking,) = output.json["scores"]
    trajectories = {"auc": 0.5, "low": 0.0, "high": 1.0, "pools": 2}
    steps = {"step_auc": None, "step_low": None, "step_high": None, "step_pools": 0}
    assert ranking == {"scorer": "guess", "fewest_pools": None, "fewest_step_pools": None} | trajectories | steps
    lines = [" ".join(line.split()) for line in output.err.splitlines()]
    assert "Within-pool AUC of the stored scores" in lines
    assert "guess 0.500 - 2" in lines


@pytest.fixture
def graded(nbest: Callable, tmp_path: Path) -> Path:
    """Six problems of four candidates each, and the stored selections among the first three."""
    lines = [
        {
            "problem_id": f"p{number}",
            "question": "2 + 2?",
            "target": "4",
            "samples": [
                {"text": f"\\boxed{{{4 if index <= number % 3 else 5}}}", "scores": {"guess": index / 4}}
                for index in range(4)
            ],
        }
        for number in range(6)
    ]
    pools_file = tmp_path / "graded.jsonl"
    pools_file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    run = tmp_path / "graded"
    assert nbest("import", "pools", run, pools_file).code == 0
    assert nbest("verify", run).code == 0
    assert nbest("select", run, "-s", "majority", "--n", "3").code == 0
    return run


def read_tables(text: str) -> dict[str, list[list[str]]]:
    """Return the cells of every table by its title: its head, then its rows. Columns are two spaces apart."""
    tables: dict[str, list[list[str]]] = {}
    title, is_open = "", False
    for line in text.splitlines():
        cells = [cell.strip() for cell in re.split(r"\s{2,}", line.strip())]
        if cells[0] == "selector":
            tables[title], is_open = [cells], True
        elif is_open and len(cells) == len(tables[title][0]):
            tables[title].append(cells)
        else:
            title, is_open = line.strip(), False
    return tables


def test_every_n_of_every_table_has_its_interval(nbest: Callable, graded: Path) -> None:
    output = nbest("compare", graded, *named("random", "majority", "score:guess", "oracle"), "--intervals")
    tables = read_tables(output.out)
    for title, name in (
        ("Accuracy in %, 6 problems", "95% intervals of the accuracy in %"),
        ("Difference to majority in points, problem by problem", "95% intervals of the difference in points"),
    ):
        figures, intervals = tables[title], tables[name]
        assert intervals[0] == ["selector", "N=1", "N=2", "N=4"]
        assert figures[0][:4] == intervals[0]
        assert [row[0] for row in intervals] == [row[0] for row in figures]
        for figure_row, interval_row in zip(figures[1:], intervals[1:], strict=True):
            for figure, interval in zip(figure_row[1:4], interval_row[1:], strict=True):
                low, high = map(float, interval.split(" to "))
                assert low <= float(figure) <= high
    assert "intervals of" not in nbest("compare", graded).out


def test_a_row_without_figures_is_left_out_and_named(nbest: Callable, graded: Path) -> None:
    # The stored selections are of 3 candidates, and the table has no N=3.
    output = nbest("compare", graded, *named("random", "majority", "stored:majority@3"), "--n", "1,4", "--intervals")
    assert output.code == 0
    assert not [row for rows in read_tables(output.out).values() for row in rows if row[0] == "stored:majority@3"]
    reason = "left out because there are no figures for them: stored:majority@3"
    assert f"Accuracy in %, 6 problems: {reason}" in output.out
    assert f"Difference to majority in points, problem by problem: {reason}" in output.out
    kept = read_tables(nbest("compare", graded, *named("random", "stored:majority@3"), "--n", "1,3").out)
    assert "stored:majority@3" in [row[0] for row in kept["Accuracy in %, 6 problems"]]


@pytest.mark.parametrize("words", [("compare",), ("show", "a"), ("info",), ("verify",)])
def test_a_pipe_is_never_cropped(
    nbest: Callable, run: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    command, *others = words
    wide = nbest(command, run, *others).out
    monkeypatch.setenv("COLUMNS", "20")
    narrow = nbest(command, run, *others).out
    assert narrow == wide
    assert "…" not in narrow
    if command == "compare":
        head = next(line for line in narrow.splitlines() if line.startswith("selector"))
        assert "95% interval at N=4" in head


@pytest.mark.parametrize("words", [("methods",), ("configs",), ("benchmarks",)])
def test_lists_are_never_cropped_in_a_pipe(
    nbest: Callable, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    wide = nbest(*words).out
    monkeypatch.setenv("COLUMNS", "20")
    assert nbest(*words).out == wide
    assert "…" not in wide


def test_lengths_of_absent_texts_cannot_be_computed(nbest: Callable, tmp_path: Path) -> None:
    samples = [{"text": "", "answer": "4"}, {"text": "", "answer": "5"}]
    pools_file = tmp_path / "bare.jsonl"
    line = {"problem_id": "a", "question": "2 + 2?", "target": "4", "samples": samples}
    pools_file.write_text(json.dumps(line) + "\n", encoding="utf-8")
    run = tmp_path / "run"
    nbest("import", "pools", run, pools_file)
    nbest("verify", run)
    output = nbest("compare", run, "--json", "-")
    assert {"longest", "shortest"} <= output.json["skipped"].keys()
    assert not {"longest", "shortest"} & {row["selector"] for row in output.json["rows"]}
    assert "neither text nor tokens, so lengths cannot be computed" in output.json["skipped"]["longest"]
    assert "left out: longest: " in output.err
    for command in ("compare", "select"):
        refusal = nbest(command, run, "-s", "shortest")
        assert refusal.code == 5
        assert "lengths cannot be computed" in refusal.err
