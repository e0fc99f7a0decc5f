"""Selection by execution from the command line: where programs run, what is kept, what is refused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from nbest.errors import UnavailableError
from nbest.sandbox.opening import open_sandbox
from nbest.stages import sandboxes
from nbest.storage.origins import read_origin
from nbest.storage.run import Run
from tests.selecting.execution.sandboxes import PlainSandbox

RIGHT, OTHER, WRONG = ("def f(x):\n    return " + text for text in ("x + 1", "1 + x", "x * 2"))
GENERATED = ["assert f(1) == 2", "assert f(3) == 4", "assert f(3) == 6", "assert f(0) == 1"]

JUDGE = """
retries = 0

[policy]
type = "scripted"
script = ["assert f(1) == 2\\nassert f(7) == 8"]
"""


def write_pools(path: Path, **changes: object) -> Path:
    rows = [
        {
            "problem_id": name,
            "question": "Write f.",
            "entry_point": "f",
            "test": "def check(candidate):\n    assert candidate(5) == 6\n",
            "generated_tests": GENERATED,
            "samples": [{"text": f"```python\n{text}\n```", "correct": text != WRONG} for text in texts],
            **changes,
        }
        for name, texts in (("a", (WRONG, RIGHT, OTHER)), ("b", (RIGHT, WRONG, WRONG, OTHER, RIGHT)))
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bool, PlainSandbox]]:
    """The sandboxes that commands opened, with their backend and whether none was allowed."""
    opened: list[tuple[str, bool, PlainSandbox]] = []

    def open_plain(backend: str = "auto", *, allow_unsandboxed: bool = False) -> PlainSandbox:
        opened.append((backend, allow_unsandboxed, PlainSandbox()))
        return opened[-1][2]

    monkeypatch.setattr(sandboxes, "open_sandbox", open_plain)
    return opened


@pytest.fixture
def run(nbest: Callable, tmp_path: Path) -> Path:
    assert nbest("import", "pools", tmp_path / "run", write_pools(tmp_path / "pools.jsonl"), "--kind", "code").code == 0
    return tmp_path / "run"


def picks(run: Path, name: str) -> list[int | None]:
    selections = Run.open(run).selections(name)
    return [each.index for each in sorted(selections, key=lambda each: each.problem_id)]


def test_programs_are_run_once_for_all_selectors_and_commands(nbest: Callable, run: Path, opened: list) -> None:
    result = nbest("select", run, "-s", "codet", "-s", "behaviour", "-s", "b4", "--json", "-")
    assert result.code == 0, result.err
    assert [row["selected"] for row in result.json["selections"]] == [2, 2, 2]
    assert picks(run, "codet") == picks(run, "behaviour") == [1, 0]
    ((backend, is_allowed, sandbox),) = opened
    assert (backend, is_allowed, sandbox.is_closed) == ("auto", False, True)
    # Three distinct programs, the same in both pools, on the same inputs.
    assert len(sandbox.jobs) == 3
    assert nbest("select", run, "-s", "mbr-exec", "--sandbox", "unprivileged", "--allow-unsandboxed").code == 0
    backend, is_allowed, sandbox = opened[1]
    assert (backend, is_allowed, sandbox.jobs) == ("unprivileged", True, [])
    # The hidden folder is no part of the run, and may be deleted.
    assert nbest("check", run).code == 0
    shutil.rmtree(run / ".executions")
    assert nbest("compare", run, "-s", "random", "-s", "stored:codet", "--baseline", "random").code == 0


def test_the_origin_records_isolation_packages_and_inputs(nbest: Callable, run: Path, opened: list) -> None:
    assert nbest("select", run, "-s", "behaviour(inputs=generated, seconds=2)").code == 0
    origin = read_origin(run / "selections" / "behaviour(inputs=generated, seconds=2)")
    assert origin is not None
    assert origin.identity["packages"] == {"python": "3.11"}
    assert origin.identity["options"] == {"inputs": "generated", "seconds": 2.0}
    assert "seed" not in origin.identity
    assert origin.info["inputs"] == "generated"
    assert (origin.info["sandbox"]["backend"], origin.info["sandbox"]["is_isolated"]) == ("plain", False)
    assert "run without isolation" in origin.summary
    assert opened


def test_other_packages_are_not_mixed_under_one_name(
    nbest: Callable, run: Path, opened: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert nbest("select", run, "-s", "behaviour").code == 0
    monkeypatch.setattr(sandboxes, "open_sandbox", lambda *_, **__: PlainSandbox({"python": "3.12"}))
    result = nbest("select", run, "-s", "behaviour")
    assert result.code == 2
    assert "packages" in result.err
    assert opened


def test_without_isolation_no_program_runs_and_nothing_is_stored(
    nbest: Callable, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise UnavailableError("no isolation works on this machine")

    monkeypatch.setattr(sandboxes, "open_sandbox", refuse)
    result = nbest("select", run, "-s", "first", "-s", "codet")
    assert (result.code, "no isolation works" in result.err) == (5, True)
    assert Run.open(run).selectors() == []


def test_a_sandbox_that_no_selector_uses_is_refused(nbest: Callable, run: Path) -> None:
    for words in (("--sandbox", "auto"), ("--allow-unsandboxed",)):
        result = nbest("select", run, "-s", "first", *words)
        assert result.code == 2
        assert "--sandbox is not used by first; it belongs to public-tests, behaviour" in result.err


def test_options_that_nothing_uses_are_refused(nbest: Callable, run: Path, tmp_path: Path) -> None:
    judge = tmp_path / "judge.toml"
    judge.write_text(JUDGE)
    for words in (("--judge-config", judge), ("--seed", 3)):
        result = nbest("select", run, "-s", "behaviour", *words)
        assert result.code == 2
        assert "is not used by behaviour" in result.err
        assert "inputs=policy" in result.err
    for name, field in (("public-tests(inputs=generated)", "inputs"), ("codet(count=5)", "count")):
        result = nbest("select", run, "-s", name)
        assert result.code == 2
        assert field in result.err


def test_hidden_tests_change_no_selection(nbest: Callable, tmp_path: Path, opened: list) -> None:
    names = ("public-tests", "behaviour", "mbr-exec", "codet", "b4")
    stored, jobs = [], []
    for number, test in enumerate(
        ("def check(candidate):\n    assert candidate(5) == 6\n", "def check(c):\n    1 / 0\n", None)
    ):
        file = write_pools(tmp_path / f"{number}.jsonl", test=test)
        run = tmp_path / f"run{number}"
        assert nbest("import", "pools", run, file, "--kind", "code").code == 0
        assert nbest("select", run, *(word for name in names for word in ("-s", name))).code == 0
        stored.append([sorted(Run.open(run).selections(name), key=lambda each: each.problem_id) for name in names])
        jobs.append(opened[-1][2].jobs)
    assert stored[0] == stored[1] == stored[2]
    assert jobs[0] == jobs[1] == jobs[2]


def test_a_judge_may_write_the_tests(nbest: Callable, tmp_path: Path, opened: list) -> None:
    file = write_pools(tmp_path / "pools.jsonl", generated_tests=[])
    run, judge = tmp_path / "run", tmp_path / "judge.toml"
    judge.write_text(JUDGE)
    assert nbest("import", "pools", run, file, "--kind", "code").code == 0
    result = nbest("select", run, "-s", "codet", "--json", "-")
    assert result.json["selections"][0]["abstained"] == 2
    assert list(result.json["selections"][0]["reasons"].values()) == [2]
    shown = nbest("select", run, "-s", "codet")
    assert "codet abstained in 2 pools: " in shown.out
    assert "with inputs=policy a judge writes tests" in shown.out
    result = nbest("select", run, "-s", "codet(inputs=policy)", "--judge-config", judge, "--json", "-")
    assert result.code == 0, result.err
    assert result.json["selections"][0]["selected"] == 2
    assert result.json["selections"][0]["judgements"]["calls"] == 2
    assert picks(run, "codet(inputs=policy)") == [1, 0]
    origin = read_origin(run / "selections" / "codet(inputs=policy)")
    assert origin is not None
    assert origin.identity["judge"]["model"]["type"] == "scripted"
    # Without a judge there is nobody to ask.
    result = nbest("select", run, "-s", "behaviour(inputs=policy)")
    assert (result.code, "lets a model write tests: name it with --judge" in result.err) == (2, True)
    # A judge that nobody asks is refused for the selector that never asks one.
    assert nbest("select", run, "-s", "first", "--judge-config", judge).code == 2
    assert opened


def test_programs_run_in_the_sandbox_of_this_machine(nbest: Callable, run: Path) -> None:
    try:
        open_sandbox(workers=1).close()
    except UnavailableError as error:
        pytest.skip(str(error))
    assert nbest("select", run, "-s", "codet").code == 0
    assert picks(run, "codet") == [1, 0]
    origin = read_origin(run / "selections" / "codet")
    assert origin is not None
    assert origin.info["sandbox"]["is_isolated"] is True
