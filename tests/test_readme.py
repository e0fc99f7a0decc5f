"""What the README shows works: its bash block and its Python block are run as they stand, on the bundled model."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
ENVIRONMENT = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "COLUMNS": "120"}


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.DOTALL | re.MULTILINE)


def test_the_flow_runs_as_shown(tmp_path: Path) -> None:
    (script,) = blocks("bash")
    shown = subprocess.run(
        ["bash", "-euc", script], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, timeout=600
    )
    assert shown.returncode == 0, shown.stderr
    for part in ("800 trajectories drawn", "majority", "oracle", "target"):
        assert part in shown.stdout


def test_the_python_example_runs_as_shown(tmp_path: Path) -> None:
    (code,) = blocks("python")
    shown = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, timeout=300
    )
    assert shown.returncode == 0, shown.stderr
    assert len(re.findall(r"^\(\d+, 1, 128\) .*\\boxed", shown.stdout, flags=re.MULTILINE)) == 4


def test_every_command_is_a_command() -> None:
    from typer.main import get_command

    from nbest.cli.app import app

    known = set(get_command(app).commands)  # pyright: ignore[reportAttributeAccessIssue]
    named = set(re.findall(r"^nbest ([a-z]+)", README, flags=re.MULTILINE))
    assert named <= known
    assert {"sample", "verify", "compare", "import"} <= named


@pytest.mark.parametrize("place", re.findall(r"\]\(([^)#]+)\)", README))
def test_every_link_leads_somewhere(place: str) -> None:
    assert (ROOT / place).exists()
