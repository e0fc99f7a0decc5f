import json
import re

import pytest

from nbest.errors import ConfigError, UnavailableError
from nbest.measuring.comparison import AccuracyRow, Comparison
from nbest.measuring.question import Question
from nbest.records import Selection
from nbest.report.building import build_report, choose_chart_selectors
from nbest.report.writing import write_report
from tests.graded_runs import ROLES

RIGHT, WRONG = {"correct": True, "answer": "1"}, {"correct": False, "answer": "2"}


def scored(trajectory, value):
    return trajectory | {"scores": {"a": value}}


# Majority is right, the score wrong; the other way round; both right.
FIRST = [
    [scored(RIGHT, 0.2), scored(RIGHT, 0.3), scored(WRONG, 0.9)],
    [scored(RIGHT, 0.8), scored(WRONG, 0.5), scored(WRONG, 0.4)],
    [scored(RIGHT, 0.9), scored(RIGHT, 0.8), scored(WRONG, 0.1)],
]
SECOND = [[scored(WRONG, 0.2), scored(WRONG, 0.3), scored(RIGHT, 0.9)]]
ASKED = Question(["random", "majority", "score:a", "oracle"], [1, 3], resamples=200)


@pytest.fixture
def two(make_run, strings):
    return build_report([make_run(*FIRST, name="first-run"), make_run(*SECOND, name="second")], ASKED, strings)


@pytest.fixture
def one(make_run, strings):
    return build_report([make_run(*FIRST, name="<one> & only")], ASKED, strings, "A | title <b>")


def accuracies(report, n):
    return {row.selector: row.accuracy for row in report.overall.rows if row.n == n}


def test_the_macro_average_weighs_runs_alike(two):
    # majority: 2/3 and 0; the score: 2/3 and 1; random at any n: (2/3 + 1/3 + 2/3) / 3 = 5/9 and 1/3.
    assert accuracies(two, 3) == pytest.approx(
        {"random": (5 / 9 + 1 / 3) / 2, "majority": 1 / 3, "score:a": 5 / 6, "oracle": 1.0}
    )
    assert two.pooled is not None
    pooled = {row.selector: row.accuracy for row in two.pooled.rows if row.n == 3}
    assert pooled["majority"] == pytest.approx(2 / 4)
    assert two.problems == 4


def test_who_is_right_where_another_is_wrong(two):
    disagreement = two.disagreement
    assert disagreement.selectors == ("score:a", "majority")
    assert disagreement.problems == 4
    # The score alone on p1 of the first and p0 of the second run, majority alone on p0 of the first.
    assert disagreement.wins.tolist() == [[0.0, 2.0], [1.0, 0.0]]
    assert disagreement.differing.tolist() == [[0, 3], [3, 0]]
    listed = {(problem.run, problem.problem_id) for problem in two.contested}
    assert listed == {("first-run", "p0"), ("first-run", "p1"), ("second", "p0")}
    assert all(problem.prompt == "?" and problem.target == "1" for problem in two.contested)


def test_confidences_of_all_runs_are_put_together(two):
    sources = {source.name: source for source in two.reliability}
    assert (sources["majority"].cases, sources["a"].cases) == (4, 12)


def test_files_load_nothing_and_hold_every_section(two, tmp_path):
    paths = write_report(two, tmp_path / "new" / "report")
    page = paths["html"].read_text(encoding="utf-8")
    assert re.findall(r"<script|<link|\bsrc=|url\((?!#)|@import", page) == []
    # Each chart for wide and for narrow screens.
    assert page.count("<figure>") == len(paths) - 3
    assert page.count("<svg") == 2 * page.count("<figure>")
    for head in ("Differences to majority", "Accuracy against cost", "Selection gap", "Calibration", "Lengths"):
        assert f"<h2>{head}</h2>" in page
    markdown = paths["md"].read_text(encoding="utf-8")
    assert "| selector | first-run | second | macro average | pooled |" in markdown
    for name, path in paths.items():
        if name not in ("html", "md", "json"):
            assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
            assert f"({name}.png)" in markdown
    assert {"accuracy", "accuracy_by_run", "accuracy_by_tokens", "selection_gap", "disagreement"} <= paths.keys()


def test_json_is_whole_and_strict(one, tmp_path):
    def refuse(constant):
        raise AssertionError(constant)

    text = write_report(one, tmp_path)["json"].read_text(encoding="utf-8")
    values = json.loads(text, parse_constant=refuse)
    assert values["disagreement"]["wins"] == [[0.0, 1.0], [1.0, 0.0]]
    assert values["runs"][0]["selectors"]["majority"] == {"ties": 0, "deciding_ties": 0, "abstained": 0}
    assert values["runs"][0]["manifest"]["identity"] == {"name": "<one> & only"}
    assert values["pooled"] is None


def test_words_of_a_run_mean_nothing_in_html_or_markdown(one, tmp_path):
    paths = write_report(one, tmp_path)
    page = paths["html"].read_text(encoding="utf-8")
    assert "<h1>A | title &lt;b&gt;</h1>" in page
    assert "&lt;one&gt; &amp; only" in page
    assert "<one>" not in page
    assert paths["md"].read_text(encoding="utf-8").startswith("# A \\| title &lt;b>\n")


def test_links_of_problems_lead_somewhere(one, tmp_path):
    page = write_report(one, tmp_path)["html"].read_text(encoding="utf-8")
    targets = set(re.findall(r"href='#([^']+)'", page))
    assert {"problem-0", "problem-1"} <= targets
    assert targets <= set(re.findall(r"\bid='([^']+)'", page))


def test_costs_and_front(one):
    # 10 tokens a candidate. At 1 all are alike; at 3 score and majority share 2/3.
    points = {(point["selector"], point["n"]): point for point in one.to_json()["points"]}
    costs = {key: point["sampled_tokens"] for key, point in points.items() if "sampled_tokens" in point["front"]}
    assert costs[("majority", 3)] == 30.0
    assert costs[("majority", 1)] == 10.0
    assert ("oracle", 3) not in costs
    assert all(point["flops"] is None for point in points.values())
    # Of three problems each is solved by two: the oracle solves all.
    assert points["majority", 3]["gap"] == pytest.approx(1 / 3)


def test_sizes_are_those_of_the_smallest_run(make_run, strings):
    runs = [make_run([RIGHT, WRONG, WRONG, RIGHT, RIGHT], name="five"), make_run([RIGHT, WRONG], name="two")]
    question = Question(["majority", "random"], resamples=200)
    assert build_report(runs, question, strings).ns == [1, 2]


def test_runs_are_told_apart_and_not_doubled(make_run, strings, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    runs = [make_run(*FIRST, name="a/run"), make_run(*FIRST, name="b/run")]
    assert [run.name for run in build_report(runs, ASKED, strings).runs] == ["a/run", "b/run"]
    with pytest.raises(ConfigError, match="was named twice"):
        build_report([runs[0], runs[0]], ASKED, strings)
    with pytest.raises(ConfigError, match="no run was named"):
        build_report([], ASKED, strings)


def test_nothing_in_common_is_said(make_run, strings):
    runs = [make_run([RIGHT], name="small"), make_run([RIGHT, WRONG], name="large")]
    with pytest.raises(ConfigError, match="no selector and number of candidates in common"):
        build_report(runs, Question(["random"], [2], resamples=200), strings)


def test_a_run_that_was_never_verified_is_named(make_run, strings):
    runs = [make_run([RIGHT], name="good"), make_run([{"correct": "absent"}], name="bad")]
    with pytest.raises(UnavailableError, match="nbest verify"):
        build_report(runs, Question(resamples=200), strings)


def test_a_bare_run_has_a_short_report(make_run, strings, tmp_path):
    run = make_run([RIGHT | {"text": "", "tokens": 0}])
    paths = write_report(build_report([run], Question(["random"], resamples=200), strings), tmp_path)
    page = paths["html"].read_text(encoding="utf-8")
    assert "Where selectors disagree" not in page
    assert "Accuracy against cost" not in page
    assert "there is only one problem, so intervals are undefined" in page


def test_ungraded_ones_have_bounds_and_groups_a_table(make_run, strings, tmp_path):
    run = make_run([RIGHT, WRONG, {"correct": None, "answer": "3"}], [RIGHT, RIGHT, WRONG])
    question = Question(["random", "majority"], [2], resamples=200, by="kind")
    markdown = write_report(build_report([run], question, strings), tmp_path)["md"].read_text(encoding="utf-8")
    assert "With the only ungraded trajectory wrong, to right" in markdown
    assert "## Accuracy by kind" in markdown
    assert "| selector | math (2) |" in markdown


def test_selections_of_a_model_stand_in_a_report(make_run, strings, tmp_path):
    pools = [RIGHT, RIGHT, WRONG], [RIGHT, WRONG, WRONG], [WRONG, WRONG, {"correct": None, "answer": "3"}]
    run = make_run(*pools)
    # Wrong on p0, where majority is right; right on p1, where majority is wrong; ungraded on p2.
    run.append_selections("asked", [Selection("p0", 2), Selection("p1", 0), Selection("p2", 2)])
    run.append_selections("asked@2", [Selection("p0", 1), Selection("p1", 1), Selection("p2", None)])
    question = Question(["majority", "stored:asked", "stored:asked@2"], [2, 3], resamples=200)
    report = build_report([run], question, strings)
    assert accuracies(report, 3) == {"majority": 0.5, "stored:asked": 0.5, "stored:asked@2": None}
    assert accuracies(report, 2)["stored:asked@2"] == pytest.approx(1 / 3)
    # What is said of whole pools leaves out the one that saw two of three.
    assert set(report.disagreement.selectors) == {"majority", "stored:asked"}
    positions = {name: position for position, name in enumerate(report.disagreement.selectors)}
    assert report.disagreement.wins[positions["stored:asked"], positions["majority"]] == 1
    assert report.disagreement.wins[positions["majority"], positions["stored:asked"]] == 1
    assert sorted(problem.problem_id for problem in report.contested) == ["p0", "p1"]
    paths = write_report(report, tmp_path)
    assert "stored:asked@2" in paths["md"].read_text(encoding="utf-8")
    everything = build_report([run], Question(None, None, resamples=200), strings)
    assert {"stored:asked", "stored:asked@2"} <= set(everything.overall.selectors)


@pytest.mark.filterwarnings("ignore::nbest.storage.newer.NewerVersionWarning")
def test_the_page_says_what_a_manifest_says_and_loads_nothing(make_run, strings, tmp_path):
    info = {"nbest": "1.2", "policy": {"parameters": 1234}}
    run = make_run([RIGHT, WRONG, {"correct": None}], [WRONG, RIGHT, RIGHT], info=info)
    manifest = run.manifest["identity"] | {"policy": {"model": "bundled:arithmetic"}, "seed": "0 & 1"}
    run.manifest["identity"].update(manifest)
    question = Question(["majority", "score:a", "random"], [1, 3], resamples=200)
    with pytest.raises(UnavailableError, match="holds no scores of 'a'"):
        build_report([run], question, strings)
    report = build_report([run], Question(["majority", "random"], [1, 2, 3], resamples=200), strings, "A <title>")
    page = write_report(report, tmp_path)["html"].read_text(encoding="utf-8")
    assert "<svg" in page
    assert "<dt>policy</dt><dd>bundled:arithmetic, 1,234 parameters</dd>" in page
    assert "A &lt;title&gt;" in page
    assert "0 &amp; 1" in page
    assert "n=3: 1 of 2 problems has fewer graded trajectories and is left out" in page
    assert "seed 0, 200 resamples of problems, 95% intervals" in page
    assert re.findall(r"<script|<link|\bsrc=|url\((?!#)|@import", page) == []


def test_what_the_default_leaves_out_is_said(make_run, strings, tmp_path):
    run = make_run([{"correct": True, "scores": {"a": 1.0}}], [{"correct": False}])
    page = write_report(build_report([run], Question(resamples=200), strings), tmp_path)["html"].read_text()
    assert "left out: score:a: 1 of 2 problems of run" in page


def test_charts_draw_the_best_and_one_of_those_that_are_alike():
    def row(selector, accuracy, error=None):
        return AccuracyRow(selector, 4, accuracy, None, None, True, 0.1, None, error, 0.0, 9)

    rows = [row(f"s{number}", 0.9 - number / 20) for number in range(9)]
    rows += [row("twin", 0.9), row("majority", 0.1), row("first", 0.2, 0.1), row("random", 0.2, 0.05)]
    comparison = Comparison(9, 4, tuple(rows), roles=ROLES, baseline="majority")
    assert choose_chart_selectors(comparison) == ["random", "s0", "s1", "s2", "s3", "s4", "s5", "majority"]


def test_many_trajectories_without_an_answer_come_first(make_run, strings, tmp_path):
    run = make_run([RIGHT, WRONG, {"correct": False}], [RIGHT, WRONG, WRONG | {"finish": "length"}])
    report = build_report([run], Question(["majority", "random"], [1, 3], resamples=200), strings)
    message = "of 6 trajectories, 16.7 % have no answer that could be read (1), 16.7 % were cut at the token limit (1)"
    assert report.to_json()["warnings"] == [message]
    paths = write_report(report, tmp_path)
    page, markdown = paths["html"].read_text(encoding="utf-8"), paths["md"].read_text(encoding="utf-8")
    assert page.split("<main>")[1].lstrip().startswith(f"<p class='warning'>{message}</p>\n<h1>")
    assert markdown.startswith(f"**{message}**\n\n# ")
    counts = "of 6 trajectories: 1 no answer read (16.7 %), 0 ungraded, 0 failed, 1 cut at the token limit (16.7 %)"
    assert f"<p class='foot'>{counts}</p>" in page
    # Accuracy, differences, calibration, Pareto front.
    assert markdown.count(counts) == 4


def test_scores_have_a_table_of_their_ranking(two, one, tmp_path):
    # Per pool of the first run 0, 1 and 1, of the second 1.
    assert [(ranking["scorer"], ranking["auc"]) for ranking in one.to_json()["overall"]["scores"]] == [
        ("a", pytest.approx(2 / 3))
    ]
    assert two.overall.scores[0].auc == pytest.approx((2 / 3 + 1) / 2)
    markdown = write_report(one, tmp_path)["md"].read_text(encoding="utf-8")
    assert "| scorer | AUC within pools | 95% interval | pools with right and wrong |" in markdown
    assert "| a | 0.667 | " in markdown
    assert not one.warnings
    assert "class='warning'" not in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_rows_of_dashes_are_left_out_and_named(make_run, strings, tmp_path):
    # The score is nowhere defined: no pool has right and wrong ones. The selection of 2 is of no N of the table.
    run = make_run([scored(WRONG, 0.1), scored(WRONG, 0.2), scored(WRONG, 0.3)])
    run.append_selections("judge@2", [Selection("p0", 0, "2")])
    question = Question(["random", "majority", "stored:judge@2", "oracle"], [1, 3], resamples=200)
    paths = write_report(build_report([run], question, strings), tmp_path)
    markdown = paths["md"].read_text(encoding="utf-8")
    page = paths["html"].read_text(encoding="utf-8")
    lines = [line for line in markdown.splitlines() if line.startswith("|")]
    cells = [set(line[1:-1].replace(" ", "").split("|")[1:]) for line in lines]
    assert not [line for line in cells if "-" in line and line <= {"-", "0", "0of0"}]
    reason = "left out because there are no figures for them:"
    # Accuracy, differences, gap; the AUC of a; the lengths of right trajectories.
    assert markdown.count(f"{reason} stored:judge@2; of 3 trajectories") == 3
    assert markdown.count(f"{reason} a; of 3 trajectories") == 1
    assert markdown.count(f"{reason} right trajectories of run") == 1
    assert page.count(reason) == 5


def test_few_problems_claim_no_interval_in_tables_and_charts(make_run, strings, tmp_path):
    pool = [scored(RIGHT, 0.9), scored(RIGHT, 0.8), scored(WRONG, 0.1)]
    for problems, is_claimed in ((4, False), (5, True)):
        run = make_run(*[pool] * problems, name=f"of-{problems}")
        report = build_report([run], Question(["random", "majority"], [1, 3], resamples=200), strings)
        paths = write_report(report, tmp_path / str(problems))
        markdown = paths["md"].read_text(encoding="utf-8")
        assert ("66.7 (66.7–66.7)" in markdown) is is_claimed
        assert ("the small print is the 95% interval" in markdown) is is_claimed
        page = paths["html"].read_text(encoding="utf-8")
        assert ("no bands: intervals need at least 5 problems" in page) is not is_claimed


def test_absent_texts_have_no_lengths(make_run, strings, tmp_path):
    run = make_run([RIGHT | {"text": "", "tokens": 0}, WRONG | {"text": "", "tokens": 0}])
    paths = write_report(build_report([run], Question(resamples=200), strings), tmp_path)
    markdown = paths["md"].read_text(encoding="utf-8")
    assert "## Lengths" not in markdown
    assert "so lengths cannot be computed" in markdown
