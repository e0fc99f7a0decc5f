"""Benchmarks write one JSON object alone to standard output where `--json -` asks for it."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"
PROGRAMS = sorted(path for path in FOLDER.glob("*.py") if '__name__ == "__main__"' in path.read_text(encoding="utf-8"))
PRINTING = """
import subprocess, sys
sys.path.insert(0, {folder!r})
from json_result import JsonResult
output = JsonResult({path!r})
print("a table")
subprocess.run([sys.executable, "-c", "print('of a child')"], check=True)
output.write({{"name": "x", "seconds": {{}}}})
print("a last word")
"""


def run_python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True)


def test_standard_output_holds_the_json_alone() -> None:
    process = run_python("-c", PRINTING.format(folder=str(FOLDER), path="-"))
    assert process.stdout == '{"name": "x", "seconds": {}}\n'
    assert process.stderr.splitlines() == ["a table", "of a child", "a last word"]


def test_a_file_or_nothing_leaves_tables_on_standard_output(tmp_path: Path) -> None:
    file = tmp_path / "result.json"
    for path in (str(file), None):
        process = run_python("-c", PRINTING.format(folder=str(FOLDER), path=path))
        assert sorted(process.stdout.splitlines()) == ["a last word", "a table", "of a child"]
    assert json.loads(file.read_text(encoding="utf-8")) == {"name": "x", "seconds": {}}


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda p: p.stem)
def test_every_benchmark_writes_its_result_in_one_way(path: Path) -> None:
    code = path.read_text(encoding="utf-8")
    assert re.search(r"^    add_json_option\(parser\)$", code, re.MULTILINE)
    assert re.search(r"^    output = JsonResult\(\w+\.json_out\)$", code, re.MULTILINE)
    assert re.search(r"^    output\.write\(", code, re.MULTILINE)


@pytest.mark.parametrize("options", [(), ("--memory",)], ids=["speed", "memory"])
def test_a_benchmark_writes_json_alone(options: tuple[str, ...]) -> None:
    process = run_python(str(FOLDER / "evaluation.py"), "--quick", *options, "--json", "-")
    result = json.loads(process.stdout)
    assert {"name", "machine", "sizes", "baseline", "ratios", "seconds"} <= result.keys()
    assert "problems x" in process.stderr
