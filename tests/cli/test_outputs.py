"""No command writes an output file inside a run, and none leaves half of one."""

from pathlib import Path

import pytest


@pytest.fixture
def graded(nbest, pools_file: Path, tmp_path: Path) -> Path:
    run = tmp_path / "run"
    assert nbest("import", "pools", run, pools_file).code == 0
    assert nbest("verify", run).code == 0
    return run


def contents(run: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "words",
    [
        "export RUN --out RUN/run.json",
        "export RUN --out RUN/verdicts/part-x.parquet --format parquet",
        "export RUN --out RUN",
        "report RUN --out RUN",
        "report RUN --out RUN/x.html",
        "compare RUN --chart RUN/chart",
        "compare RUN --json RUN/run.json",
        "info RUN --json RUN/new/x.json",
        "show RUN 0 --json RUN/x.json",
        "verify RUN --json RUN/x.json",
        "select RUN -s majority --json RUN/x.json",
        "train combined RUN --out RUN/combined.json",
        "train vote RUN --out RUN/votes.json",
        "tasks build RUN --out RUN/tasks.parquet",
        "check RUN --json RUN/x.json",
    ],
)
def test_an_output_inside_a_run_is_refused_before_any_work(nbest, graded: Path, words: str):
    before = contents(graded)
    result = nbest(*words.replace("RUN", str(graded)).split())
    assert result.code == 2
    assert "run folder" in result.err
    assert "Choose a path outside" in result.err
    assert contents(graded) == before


def test_the_report_of_a_run_is_inside_it(nbest, graded: Path):
    assert nbest("report", graded, "--json", graded / "report" / "all.json").code == 0
    names = {path.name for path in (graded / "report").iterdir()}
    assert {"report.html", "report.md", "report.json", "all.json"} <= names
    assert nbest("check", graded).code == 0


def test_a_run_that_the_command_creates_holds_no_output(nbest, script: Path, tmp_path: Path):
    result = nbest("sample", tmp_path / "new", "-c", script, "--json", tmp_path / "new" / "x.json")
    assert result.code == 2
    assert not (tmp_path / "new" / "x.json").exists()


def test_an_output_that_fails_leaves_the_former_file(nbest, graded: Path, monkeypatch: pytest.MonkeyPatch):
    out = graded.parent / "x.json"
    assert nbest("info", graded, "--json", out).code == 0
    before = out.read_bytes()

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", refuse)
    result = nbest("info", graded, "--json", out)
    assert result.code == 8
    assert "No space left on device" in result.err
    assert out.read_bytes() == before
    assert [path.name for path in graded.parent.glob(".*")] == []


def test_a_folder_is_no_file(nbest, graded: Path):
    result = nbest("info", graded, "--json", graded.parent)
    assert result.code == 2
    assert "is a folder; name a file" in result.err
