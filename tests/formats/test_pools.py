"""Import of pool files into a real run."""

import gzip
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nbest.errors import ConfigError, DataError
from nbest.formats import intake
from nbest.formats.intake import ImportProgress
from nbest.formats.pools import import_pools, read_pools
from nbest.records import Trajectory
from nbest.storage.run import Run

DATA = Path(__file__).parents[3] / "shared" / "data" / "pools"


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run.create(tmp_path / "run", {"identity": {}, "info": {}})


def write(path: Path, *lines: object) -> Path:
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return path


def problem(id: str = "p", **more: Any) -> dict[str, Any]:
    return {"problem_id": id, "question": "1+1?", "target": "2", "samples": [{"text": r"\boxed{2}"}]} | more


def trajectories(run: Run) -> list[Trajectory]:
    return [trajectory for pool in run.pools() for trajectory in pool.trajectories]


def contents(run: Run) -> list[Any]:
    """Everything an import writes, in a form that compares."""
    connection = run.connect()
    tables = {"problems": "id", "trajectories": "id", "verdicts": "trajectory_id", "scores": "trajectory_id, scorer"}
    return [connection.execute(f"SELECT * FROM {name} ORDER BY {key}").fetchall() for name, key in tables.items()]


def test_what_a_line_states_and_what_it_lacks(run: Run, tmp_path: Path):
    samples = [
        {"text": "so 2", "answer": 2, "correct": True, "logprobs": [-0.5, -0.25], "scores": {"r": 1.5}, "system": "a"},
        {"text": r"\boxed{3}", "correct": False},
        {"text": "", "correct": None},
        {"text": "no idea"},
    ]
    report = import_pools(run, [write(tmp_path / "a.jsonl", problem(samples=samples, level=3))])
    assert report.is_clean
    assert (report.problems, report.trajectories, report.verdicts, report.scores) == (1, 4, 3, 1)
    (stored,) = run.problems()
    assert (stored.prompt, stored.target, stored.kind, stored.meta) == ("1+1?", "2", "math", {"level": 3})
    first, *others = trajectories(run)
    assert (first.id, first.answer, first.meta, first.seed) == ("p#0", "2", {"system": "a"}, -1)
    assert first.completion.logprobs is not None
    assert first.completion.logprobs.tolist() == [-0.5, -0.25]
    assert len(first.completion.tokens) == len(first.completion.prompt_tokens) == 0
    assert (first.completion.finish, first.completion.confidences) == ("unknown", None)
    assert [other.completion.logprobs for other in others] == [None, None, None]
    verdicts = {verdict.trajectory_id: verdict for verdict in run.verdicts()}
    assert [(v.correct, v.answer, v.note) for _, v in sorted(verdicts.items())] == [
        (True, "2", "imported"),
        (False, "3", "imported"),
        (None, None, "imported"),
    ]
    assert run.done_scores("r") == {"p#0"}


@pytest.mark.parametrize(
    ("more", "target"),
    [
        ({"target": 27.0}, "27"),
        ({"target": None}, None),
        ({"target": None, "gold": "5"}, "5"),
        ({"target": 0.5, "gold": "0.5"}, "0.5"),
    ],
)
def test_targets(run: Run, tmp_path: Path, more: dict[str, Any], target: str | None):
    assert import_pools(run, [write(tmp_path / "a.jsonl", problem(**more))]).is_clean
    assert next(iter(run.problems())).target == target


@pytest.mark.parametrize(
    ("more", "option", "kind", "tests"),
    [
        ({}, None, "math", ()),
        ({"kind": "choice"}, None, "choice", ()),
        ({"kind": "choice"}, "math", "math", ()),
        ({"test": "assert f(1)", "entry_point": "f"}, None, "code", ("assert f(1)",)),
        ({"tests": ["assert f(1)"], "entry_point": "f"}, None, "code", ("assert f(1)",)),
        ({"tests": ["assert f(1)"]}, None, "math", ("assert f(1)",)),
        ({"test": "not code"}, None, "math", ()),
    ],
)
def test_kinds(run: Run, tmp_path: Path, more: dict[str, Any], option: str | None, kind: str, tests: tuple[str, ...]):
    assert import_pools(run, [write(tmp_path / "a.jsonl", problem(**more))], kind=option).is_clean
    (stored,) = run.problems()
    assert (stored.kind, stored.tests) == (kind, tests)


def test_a_kind_that_does_not_exist(run: Run, tmp_path: Path):
    with pytest.raises(ConfigError, match="math, choice, exact, number, python, date, code"):
        import_pools(run, [write(tmp_path / "a.jsonl", problem())], kind="physics")


@pytest.mark.parametrize(
    ("line", "field"),
    [
        ("{not json", "line"),
        ("[]", "line"),
        ({"question": "q", "samples": []}, "problem_id"),
        ({"problem_id": "", "question": "q", "samples": []}, "problem_id"),
        ({"problem_id": "x", "samples": []}, "question"),
        ({"problem_id": "x", "question": "q"}, "samples"),
        ({"problem_id": "x", "question": "q", "samples": "none"}, "samples"),
        (problem("x", samples=["text"]), "samples[0]"),
        (problem("x", samples=[{"level": "2"}]), "samples[0].text"),
        (problem("x", samples=[{"text": 5}]), "samples[0].text"),
        (problem("x", samples=[{"text": "a"}, {"text": "b", "correct": "yes"}]), "samples[1].correct"),
        (problem("x", samples=[{"text": "a", "scores": {"r": float("nan")}}]), "samples[0].scores.r"),
        (problem("x", samples=[{"text": "a", "scores": [1]}]), "samples[0].scores"),
        (problem("x", samples=[{"text": "a", "logprobs": [None]}]), "samples[0].logprobs"),
        (problem("x", target={"value": 2}), "target"),
        (problem("x", target="2", gold="3"), "gold"),
        (problem("x", samples=[{"text": "a", "scores": {"a name/with a slash": 1}}]), "scores"),
        (problem("x", kind="physics"), "kind"),
        (problem("x", tests="assert"), "tests"),
        (problem("good 1"), "problem_id"),
    ],
)
def test_a_bad_line_is_reported_and_the_good_ones_are_kept(run: Run, tmp_path: Path, line: object, field: str):
    file = write(tmp_path / "a.jsonl", problem("good 1"), line, problem("good 2"))
    report = import_pools(run, [file])
    assert [stored.id for stored in run.problems()] == ["good 1", "good 2"]
    assert report.trajectories == 2
    assert not report.is_clean
    (fault,) = report.faults
    assert (fault.file, fault.line, fault.field) == (str(file), 2, field)
    assert str(fault).startswith(f"{file}:2: {field}: ")


def test_all_faults_of_a_line_are_reported_at_once(run: Run, tmp_path: Path):
    bad = {"question": 1, "samples": [{"text": None}, {"text": "a", "answer": {}}]}
    report = import_pools(run, [write(tmp_path / "a.jsonl", bad)])
    assert {fault.field for fault in report.faults} == {
        "problem_id",
        "question",
        "samples[0].text",
        "samples[1].answer",
    }
    assert report.fault_count == 4


def test_many_faults_are_counted_and_some_kept(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(intake, "REPORTED_FAULTS", 3)
    report = import_pools(run, [write(tmp_path / "a.jsonl", *["{"] * 10, problem())])
    assert (report.fault_count, len(report.faults), report.problems) == (10, 3, 1)


def test_gzip_and_several_files(run: Run, tmp_path: Path):
    packed = tmp_path / "b.jsonl.gz"
    packed.write_bytes(gzip.compress(json.dumps(problem("q")).encode()))
    report = import_pools(run, [write(tmp_path / "a.jsonl", problem("p")), packed])
    assert (report.problems, report.fault_count) == (2, 0)


def test_an_id_that_stands_in_two_files(run: Run, tmp_path: Path):
    files = [write(tmp_path / "a.jsonl", problem("p")), write(tmp_path / "b.jsonl", problem("p"), problem("q"))]
    report = import_pools(run, files)
    assert report.problems == 2
    (fault,) = report.faults
    assert (fault.file, fault.line) == (str(files[1]), 1)
    assert f"{files[0]}:1" in fault.actual


def test_a_file_that_is_not_there(run: Run, tmp_path: Path):
    with pytest.raises(DataError, match=r"no\.jsonl"):
        import_pools(run, [tmp_path / "no.jsonl"])


def test_the_same_import_again_changes_nothing(run: Run, tmp_path: Path):
    samples = [{"text": "a", "correct": True, "scores": {"r": 1.0}}, {"text": "b"}]
    file = write(tmp_path / "a.jsonl", problem(samples=samples), "{", problem("q"))
    import_pools(run, [file])
    before, parts = contents(run), sorted(path.name for path in (tmp_path / "run").rglob("*"))
    report = import_pools(run, [file])
    assert (report.problems, report.trajectories, report.verdicts, report.scores) == (0, 0, 0, 0)
    assert (report.present, report.fault_count) == (3, 1)
    assert contents(run) == before
    assert sorted(path.name for path in (tmp_path / "run").rglob("*")) == parts


def test_samples_and_labels_that_came_later_are_added(run: Run, tmp_path: Path):
    import_pools(run, [write(tmp_path / "a.jsonl", problem(samples=[{"text": "a"}]))])
    more = [{"text": "a", "correct": False, "scores": {"r": 0.5}}, {"text": "b"}]
    report = import_pools(run, [write(tmp_path / "b.jsonl", problem(samples=more))])
    assert (report.trajectories, report.verdicts, report.scores, report.present) == (1, 1, 1, 1)
    assert [t.id for t in trajectories(run)] == ["p#0", "p#1"]


def test_conflicts_with_the_run_are_reported(run: Run, tmp_path: Path):
    import_pools(run, [write(tmp_path / "a.jsonl", problem("p"), problem("q"))])
    other = write(
        tmp_path / "b.jsonl",
        problem("new"),
        problem("p", target="3"),
        problem("q", samples=[{"text": "another text"}]),
    )
    before = contents(run)
    report = import_pools(run, [other])
    assert [(fault.line, fault.field) for fault in report.faults] == [(1, "problem_id"), (2, "problem_id"), (3, "text")]
    assert "not among the 2 problems" in report.faults[0].actual
    assert contents(run) == before


def test_parts_are_bounded_and_progress_is_told(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(intake, "PART_TRAJECTORIES", 10)
    sizes: list[int] = []
    append = run.append_trajectories

    def watch(batch: list[Trajectory]) -> None:
        sizes.append(len(batch))
        append(batch)

    monkeypatch.setattr(run, "append_trajectories", watch, raising=False)
    file = write(tmp_path / "a.jsonl", *[problem(str(n), samples=[{"text": "a"}] * 3) for n in range(9)])
    progress: list[ImportProgress] = []
    import_pools(run, [file], on_progress=progress.append)
    assert sizes == [10, 10, 7]
    size = os.path.getsize(file)
    assert [(p.stage, p.problems) for p in progress[:9]] == [("problems", n + 1) for n in range(9)]
    assert (progress[-1].stage, progress[-1].done_bytes, progress[-1].total_bytes) == (
        "trajectories",
        2 * size,
        2 * size,
    )
    assert progress[-1].trajectories == 27


def test_reading_is_lazy(tmp_path: Path):
    """A line is read when it is asked for: the faulty one behind it has not been seen."""
    items = read_pools([write(tmp_path / "a.jsonl", problem("p"), "{")])
    assert isinstance(items, Iterator)
    assert isinstance(next(items), intake.Entry)


@pytest.mark.parametrize("stop", range(9))
def test_an_import_that_dies_anywhere_is_finished_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: int
):
    """Dies before the write number `stop` (problems, then trajectories, verdicts, scores of three parts)."""
    monkeypatch.setattr(intake, "PART_TRAJECTORIES", 2)
    samples = [{"text": "a", "correct": True, "scores": {"r": 1.0}}, {"text": "b", "correct": False}]
    file = write(tmp_path / "a.jsonl", *[problem(str(n), samples=samples) for n in range(3)])
    whole = Run.create(tmp_path / "whole", {"identity": {}, "info": {}})
    import_pools(whole, [file])

    class Killed(BaseException):
        pass

    broken = Run.create(tmp_path / "broken", {"identity": {}, "info": {}})
    remaining_calls = [stop]

    def dying(name: str) -> Any:
        real = getattr(broken, name)

        def call(*args: Any) -> Any:
            if remaining_calls[0] == 0:
                raise Killed
            remaining_calls[0] -= 1
            return real(*args)

        return call

    with monkeypatch.context() as patch:
        for name in ("write_problems", "append_trajectories", "append_verdicts", "append_scores"):
            patch.setattr(broken, name, dying(name), raising=False)
        with pytest.raises(Killed):
            import_pools(broken, [file])
    again = Run.open(tmp_path / "broken")
    import_pools(again, [file])
    assert contents(again) == contents(whole)


REAL = {
    # problems, samples, right ones (pass@1 of the data's README x samples), scores, kind
    "game24_gpt4_cot": (100, 10_000, 403, 0, "math"),  # 0.0403 * 10000
    "gsm8k_gpt3_4sys": (1319, 5276, 2001, 0, "math"),  # 0.3793 * 5276 = 2001.2
    "humaneval_codegen16b": (164, 16_400, 3629, 0, "code"),  # 0.2213 * 16400 = 3629.3
    "math_qwen_rm8": (100, 800, 728, 800, "math"),  # 0.9100 * 800
}


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Run:
    files = [DATA / f"{name}.jsonl.gz" for name in REAL]
    if not all(file.exists() for file in files):
        pytest.skip(f"the four pools are not in {DATA}")
    run = Run.create(tmp_path_factory.mktemp("real") / "run", {"identity": {}, "info": {}})
    report = import_pools(run, files)
    assert report.is_clean
    # 100 + 1319 + 164 + 100 problems; 10000 + 5276 + 16400 + 800 samples, each with a verdict; 800 scores.
    assert (report.problems, report.trajectories) == (1683, 32_476)
    assert (report.verdicts, report.scores) == (32_476, 800)
    return run


@pytest.mark.parametrize("name", REAL)
def test_real_pools_are_counted_right(real: Run, name: str):
    query = """
        SELECT count(DISTINCT p.id), count(*), count(*) FILTER (v.correct), count(s.value), min(p.kind), max(p.kind)
        FROM trajectories t JOIN problems p ON p.id = t.problem_id JOIN verdicts v ON v.trajectory_id = t.id
        LEFT JOIN scores s ON s.trajectory_id = t.id WHERE starts_with(t.problem_id, ?)
    """
    problems, samples, right, scores, kind = REAL[name]
    with real.connect() as connection:
        counts = connection.execute(query, [name]).fetchone()
    assert counts == (problems, samples, right, scores, kind, kind)


@pytest.mark.parametrize("name", REAL)
def test_real_pools_keep_what_they_state(real: Run, name: str):
    with gzip.open(DATA / f"{name}.jsonl.gz", "rt") as lines:
        first = json.loads(next(lines))
    stored = real.problem(first["problem_id"])
    assert (stored.prompt, stored.target) == (first["question"], first["target"])
    assert stored.meta.get("gen_tests") == first.get("gen_tests")
    assert stored.tests == ((first["test"],) if "test" in first else ())
    (pool,) = real.pools(ids=[stored.id])
    fields = [(t.completion.text, t.answer, t.meta.get("system")) for t in pool.trajectories]
    assert fields == [(s["text"], s.get("answer"), s.get("system")) for s in first["samples"]]


def test_real_scores_are_the_stated_ones(real: Run):
    with gzip.open(DATA / "math_qwen_rm8.jsonl.gz", "rt") as lines:
        source_scores = {
            f"{line['problem_id']}#{index}": sample["scores"]["reward_model"]
            for line in map(json.loads, lines)
            for index, sample in enumerate(line["samples"])
        }
    assert {score.trajectory_id: score.value for score in real.scores("reward_model")} == source_scores


def test_the_answer_rule_of_a_line_and_of_the_call(run: Run, tmp_path: Path):
    samples = [{"text": "RESULT 2 of 3", "correct": True}, {"text": "none", "correct": False}]
    lines = [
        problem("a", samples=samples, answer_rule=r"regex:RESULT (\d)"),
        problem("b", samples=[*samples, {"text": r"\boxed{4}", "answer": "4"}]),
    ]
    file = write(tmp_path / "a.jsonl", *lines)
    report = import_pools(run, [file])
    assert report.is_clean
    assert [stored.answer_rule for stored in run.problems()] == [r"regex:RESULT (\d)", "default"]
    assert [pool.answer_rule for pool in run.pools()] == [r"regex:RESULT (\d)", "default"]
    assert {verdict.trajectory_id: verdict.answer for verdict in run.verdicts()}["a#0"] == "2"
    assert report.answers.to_json() == {"read": 2, "unread": 3, "by_rule": {r"regex:RESULT (\d)": 1, "recorded": 1}}

    again = import_pools(run, [file])
    assert (again.is_clean, again.present) == (True, 5)
    assert again.answers == report.answers

    other = Run.create(tmp_path / "other", {"identity": {}, "info": {}})
    report = import_pools(other, [file], answer="last-number")
    assert [stored.answer_rule for stored in other.problems()] == ["last-number"] * 2
    assert report.answers.by_rule == {"last-number": 2, "recorded": 1}
    differing = import_pools(other, [file])
    assert [fault.field for fault in differing.faults] == ["problem_id", "problem_id"]


def test_a_faulty_answer_rule_names_the_line(run: Run, tmp_path: Path):
    file = write(tmp_path / "a.jsonl", problem("a"), problem("b", answer_rule="regex:("))
    report = import_pools(run, [file])
    (fault,) = report.faults
    assert (fault.line, fault.field) == (2, "answer_rule")
    assert "no regular expression" in str(fault)
    assert report.problems == 1
    with pytest.raises(ConfigError, match="allowed: default, regex:PATTERN"):
        import_pools(run, [file], answer="lastnumber")
