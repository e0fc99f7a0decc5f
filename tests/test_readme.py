"""The pages are right: the README's and CONTRIBUTING's examples run as they stand, every link and command exists."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
ENVIRONMENT = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "COLUMNS": "120"}


def blocks(page: str, *languages: str) -> list[str]:
    """Return the code blocks of these languages; "" is a block without one."""
    fences = re.findall(r"^```(\w*)\n(.*?)^```$", page, flags=re.DOTALL | re.MULTILINE)
    return [code for language, code in fences if language in languages]


def list_links() -> list[tuple[Path, str]]:
    """Return every link to a file of the repository or to a heading, with the page it is on."""
    return [
        (page, target)
        for page in PAGES
        for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
        if not re.match(r"[a-z]+:", target)
    ]


def list_anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings as GitHub makes them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def run_script(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        arguments, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, timeout=600, check=False
    )


def test_one_question_from_the_shell(tmp_path: Path) -> None:
    script, _ = blocks(README, "bash")
    result = run_script(["bash", "-euc", script], tmp_path)
    assert result.returncode == 0, result.stderr
    assert re.search(r"answer +110$", result.stdout, flags=re.MULTILINE)


def test_the_flow_runs_as_written(tmp_path: Path) -> None:
    _, script = blocks(README, "bash")
    result = run_script(["bash", "-euc", script], tmp_path)
    assert result.returncode == 0, result.stderr
    for part in ("800 trajectories drawn", "majority", "oracle", "target"):
        assert part in result.stdout


def test_the_python_examples_run_as_written(tmp_path: Path) -> None:
    ask, endpoint, stream = (run_script([sys.executable, "-c", code], tmp_path) for code in blocks(README, "python"))
    for result in (ask, endpoint, stream):
        assert result.returncode == 0, result.stderr
    assert re.fullmatch(r"110 0\.9\d+", ask.stdout.strip())
    assert len(re.findall(r"^\d of 8: ", stream.stdout, flags=re.MULTILINE)) == 8
    assert re.findall(r"^(\S+) \d+ 8$", stream.stdout, flags=re.MULTILINE) == ["110", "183"]
    assert (tmp_path / "runs" / "asked" / "run.json").is_file()


def test_the_examples_of_contributing_run_as_written(tmp_path: Path) -> None:
    """Every Python block whose first line names a file is that file; the tests among them are run by pytest."""
    for code in blocks(CONTRIBUTING, "python"):
        name = re.match(r"# (\S+\.py)\n", code)
        assert name, f"a Python block of CONTRIBUTING.md must begin with its file name:\n{code}"
        path = tmp_path / name[1]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code, encoding="utf-8")
    result = run_script([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"], tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr


def list_command_lines() -> list[tuple[Path, list[str]]]:
    """Return the words of every nbest command in a code block, with the page it is on; comments are left out."""
    lines: list[tuple[Path, list[str]]] = []
    for page in PAGES:
        code = "\n".join(blocks(page.read_text(encoding="utf-8"), "", "bash")).replace("\\\n", " ").replace("&&", "\n")
        commands = re.findall(r"(?:^|-m )\s*(?:\S+/)?nbest ([a-z][^#\n;]*)", code, re.MULTILINE)
        lines.extend((page, command.split()) for command in commands)
    return lines


def find_command(words: list[str]) -> tuple[Any, list[str]]:
    """Return the command that these words call, None where there is none, and the words after its name."""
    from typer.main import get_command

    from nbest.cli.app import app

    command: Any = get_command(app)
    rest = list(words)
    while hasattr(command, "commands"):
        command = command.commands.get(rest.pop(0)) if rest else None
    return command, rest


def test_every_command_is_a_command() -> None:
    lines = list_command_lines()
    assert not [f"{page.name}: nbest {' '.join(words)}" for page, words in lines if find_command(words)[0] is None]
    assert {"ask", "sample", "verify", "compare", "import"} <= {words[0] for _, words in lines}


def test_every_option_is_an_option_of_its_command() -> None:
    """No page shows a former spelling, or one that never was."""
    unknown: list[str] = []
    for page, words in list_command_lines():
        command, rest = find_command(words)
        known = {name for option in command.params for name in (*option.opts, *option.secondary_opts)} | {"--help"}
        options = [word.partition("=")[0] for word in rest if re.match(r"--?[a-z]", word)]
        unknown += [f"{page.name}: nbest {' '.join(words)}: {option}" for option in options if option not in known]
    assert not unknown


@pytest.mark.parametrize(("page", "target"), list_links(), ids=lambda value: str(value).rpartition("/")[2])
def test_every_link_leads_somewhere(page: Path, target: str) -> None:
    path, _, anchor = target.partition("#")
    file = (page.parent / path).resolve() if path else page
    assert file.exists()
    assert file.is_relative_to(ROOT)
    if anchor:
        assert anchor in list_anchors(file)
