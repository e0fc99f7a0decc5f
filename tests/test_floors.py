"""What the tree promises: a light ground, no circles, names that do not move."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "nbest"


@pytest.mark.parametrize("module", ["nbest.records", "nbest.errors", "nbest.protocols"])
def test_the_ground_loads_no_engine(module: str) -> None:
    heavy = "{'torch', 'pyarrow', 'transformers', 'duckdb', 'pydantic', 'math_verify'}"
    code = f"import sys, {module}; print(sorted({heavy} & set(sys.modules)))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def test_the_command_starts_without_engines() -> None:
    code = "import sys, nbest.cli; print(sorted({'torch', 'transformers', 'altair', 'duckdb'} & set(sys.modules)))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def test_no_import_goes_in_a_circle() -> None:
    graph = grimp.build_graph("nbest", cache_dir=None)
    waiting = {module: set(graph.find_modules_directly_imported_by(module)) for module in graph.modules}
    while free := [module for module, imports in waiting.items() if not imports & waiting.keys()]:
        for module in free:
            del waiting[module]
    assert not waiting, f"modules in or above a circle: {sorted(waiting)}"


def read_rooms() -> list[set[str]]:
    """Return the rooms of each row of the table in docs/architecture.md, from the highest row to the lowest."""
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = page.split("\n## Rooms\n")[1].split("\n## ")[0]
    cells = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    return [{name.removesuffix(".py").removesuffix("/") for name in re.findall(r"`([^`]+)`", cell)} for cell in cells]


def test_every_room_is_described_once() -> None:
    names = [name for row in read_rooms() for name in row]
    packages = {path.parent.name for path in SOURCE.glob("*/__init__.py")}
    modules = {path.stem for path in SOURCE.glob("*.py")} - {"__init__", "__main__"}
    assert sorted(names) == sorted(packages | modules)


def test_the_rows_of_the_table_are_those_that_are_enforced() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    layers = settings["tool"]["importlinter"]["contracts"][0]["layers"]
    assert read_rooms() == [{name.removeprefix("nbest.") for name in layer.split(" | ")} for layer in layers]


def test_no_module_is_named_after_nothing() -> None:
    banned = {"utils", "common", "helpers", "core", "base", "manager", "misc"}
    assert not [path for path in SOURCE.rglob("*.py") if path.stem in banned]


def test_every_module_says_what_it_is_for() -> None:
    files = [path for path in SOURCE.rglob("*.py") if path.stat().st_size]
    assert not [str(path) for path in files if not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))]
