from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from nbest.cli.report import report
from nbest.errors import ConfigError
from tests.cli.words import named


@pytest.fixture
def run(nbest: Callable, pools_file: Path, tmp_path: Path) -> Path:
    path = tmp_path / "run"
    assert nbest("import", "pools", path, pools_file).code == 0
    assert nbest("verify", path).code == 0
    return path


def call(*words: object):
    app = typer.Typer()
    app.command()(report)
    return CliRunner().invoke(app, list(map(str, words)))


def test_a_report_of_a_run_stands_in_its_folder(run: Path) -> None:
    shown = call(run, *named("majority", "score:guess", "oracle"), "--n", "1,4")
    assert shown.exit_code == 0, shown.output
    page = (run / "report" / "report.html").read_text(encoding="utf-8")
    assert "N=4" in page
    assert "Problem a" in page
    assert (run / "report" / "accuracy.png").exists()


def test_several_runs_need_a_folder(run: Path) -> None:
    shown = call(run, run)
    assert isinstance(shown.exception, ConfigError)
    assert "--out" in str(shown.exception)
