"""Selectors by execution on real programs: accuracy, paired intervals, calibration, and blindness to hidden tests.

    python benchmarks/code_selection.py [--data FOLDER] [--run FOLDER] [--judge FILE] [--quick]

The pools are 164 problems of HumanEval x 100 programs of CodeGen-16B with the labels of CodeT, and the tests that the
model itself wrote. They are imported, selected from and compared as by `nbest import`, `nbest select` and `nbest
compare`. Then the hidden tests are deleted from the file, and selected from again: the selections and the jobs of the
sandbox have to be the same. `--judge FILE` is a judge's TOML file; without it selectors that ask a model are not
measured. `--run` keeps the runs and what programs did, so that a second call is fast. The data is not part of the
repository.
"""

import argparse
import gzip
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from answers_agreement import read_lines
from json_result import JsonResult, add_json_option

from nbest.formats.importing import import_files
from nbest.measuring.compare import compare
from nbest.measuring.comparison import Comparison
from nbest.programs.extraction import extract_program
from nbest.records import Pool, Score, Selection
from nbest.stages import read_judge_config, select
from nbest.statistics.calibration import brier_score, calibration_error
from nbest.storage.run import Run

POOLS = Path("pools") / "humaneval_codegen16b.jsonl.gz"
SCORER = "equal-programs"
"""The scores of the hybrid: how many trajectories of the pool have the same program. It needs no model."""

SELECTORS = (
    "first",
    "longest",
    "shortest",
    f"score:{SCORER}",
    "public-tests",
    "behaviour",
    "mbr-exec",
    "mbr-exec(loss=hard)",
    "codet",
    "codet(power=1)",
    "b4",
    "b4(beta=100000)",
    f"hybrid:{SCORER}",
    f"hybrid(rule=b4):{SCORER}",
)
JUDGED = ("genselect-tournament", "hybrid-judge", "s-star")
LEAST = {"codet": 0.355, "behaviour": 0.255}
"""What these have to reach."""


def write_pools(data: Path, folder: Path, quick: bool, has_tests: bool) -> Path:
    """Write the pools, all or every eighth, with or without their hidden tests; return the file."""
    file = folder / f"pools{'' if has_tests else '_without_tests'}.jsonl.gz"
    with gzip.open(file, "wt", encoding="utf-8") as stream:
        for row in read_lines(data / POOLS)[:: 8 if quick else 1]:
            # What the model's tests say of each sample is known upstream; selectors find it out themselves.
            samples = [{"text": sample["text"], "correct": sample["correct"]} for sample in row["samples"]]
            values = {**row, "samples": samples} if has_tests else {**row, "samples": samples, "test": ""}
            stream.write(json.dumps({key: value for key, value in values.items() if value not in ("", None)}) + "\n")
    return file


def make_run(folder: Path, file: Path) -> Run:
    """Import the pools into a run, once, and score the programs by how often they occur."""
    if not folder.exists():
        report = import_files(folder, "pools", [file], kind="code")
        if not report.is_clean:
            raise SystemExit(f"{file}: {report.faults[:3]}")
    run = Run.open(folder)
    if SCORER not in run.scorers():
        run.append_scores(SCORER, [score for pool in run.pools() for score in score_programs(pool)])
    return run


def score_programs(pool: Pool) -> list[Score]:
    """Return the number of trajectories with the same program, 0 without one."""
    programs = [extract_program(each.completion.text, pool.code) for each in pool.trajectories]
    sources = [None if program is None else program.source for program in programs]
    counts = Counter(source for source in sources if source is not None)
    return [
        Score(each.id, float(counts.get(source, 0) if source is not None else 0))
        for each, source in zip(pool.trajectories, sources, strict=True)
    ]


def make_selections(run: Run, names: Sequence[str], judge: Path | None) -> dict[str, float]:
    """Select with every selector that has no selections yet; return the seconds that each took."""
    seconds: dict[str, float] = {}
    for name in names:
        started = time.monotonic()
        select(run, [name], judge=read_judge_config(file=judge) if name in JUDGED else None)
        seconds[name] = time.monotonic() - started
        print(f"{name}: {seconds[name]:.1f} s", file=sys.stderr, flush=True)
    return seconds


def measure_calibration(run: Run, name: str) -> dict[str, float | None]:
    """Return how well the confidence of a selector says how often it is right, over the pools that it selected from."""
    verdicts = {verdict.trajectory_id: verdict.correct is True for verdict in run.verdicts()}
    ids = {pool.problem_id: [each.id for each in pool.trajectories] for pool in run.pools()}
    stated = [each for each in run.selections(name) if each.index is not None and each.confidence is not None]
    if not stated:
        return {"confidence": None, "calibration_error": None, "brier": None}
    confidence = np.array([each.confidence for each in stated])
    right = np.array([verdicts[ids[each.problem_id][each.index or 0]] for each in stated])
    return {
        "confidence": float(confidence.mean()),
        "calibration_error": float(calibration_error(confidence, right)),
        "brier": float(brier_score(confidence, right)),
    }


def list_rows(
    run: Run, comparison: Comparison, names: Sequence[str], seconds: dict[str, float]
) -> list[dict[str, Any]]:
    """Return one row per selector, `pass@1` and `pass@100` among them."""
    n = comparison.n_max
    accuracy = {row.selector: row for row in comparison.rows if row.n == n}
    paired = {row.selector: row for row in comparison.paired if row.n == n}
    rows: list[dict[str, Any]] = []
    for name in ("random", *names, "oracle"):
        label = name if name in ("random", "oracle") else f"stored:{name}"
        row, pair = accuracy[label], paired.get(label)
        rows.append(
            {
                "selector": {"random": "pass@1", "oracle": f"pass@{n}"}.get(name, name),
                "accuracy": row.accuracy,
                "low": row.low,
                "high": row.high,
                "abstained": row.abstained,
                "difference": None if pair is None else pair.difference,
                "difference_low": None if pair is None else pair.low,
                "difference_high": None if pair is None else pair.high,
                "p_holm": None if pair is None else pair.p_holm,
                "seconds": seconds.get(name),
                **(measure_calibration(run, name) if name in names else {}),
            }
        )
    return rows


def list_selections(run: Run, name: str) -> list[Selection]:
    return sorted(run.selections(name), key=lambda selection: selection.problem_id)


def print_table(rows: Sequence[dict[str, Any]]) -> None:
    """Print the rows as a table of Markdown."""
    print("| selector | accuracy | minus pass@1 | p (Holm) | abstained | confidence | ECE | Brier |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    for row in rows:
        cells = [
            f"`{row['selector']}`",
            f"{row['accuracy']:.3f} [{row['low']:.3f}, {row['high']:.3f}]",
            _show_interval(row["difference"], row["difference_low"], row["difference_high"]),
            _show(row["p_holm"], "{:.4f}"),
            f"{row['abstained']:.3f}",
            *(_show(row.get(key), "{:.3f}") for key in ("confidence", "calibration_error", "brier")),
        ]
        print(f"| {' | '.join(cells)} |")


def _show(value: float | None, form: str) -> str:
    return "" if value is None else form.format(value)


def _show_interval(value: float | None, low: float | None, high: float | None) -> str:
    return "" if value is None else f"{value:+.3f} [{low:+.3f}, {high:+.3f}]"


def run_benchmark(data: Path, folder: Path, judge: Path | None, quick: bool) -> dict[str, Any]:
    names = [*SELECTORS, *(JUDGED if judge is not None else ())]
    run = make_run(folder / "run", write_pools(data, folder, quick, has_tests=True))
    seconds = make_selections(run, names, judge)
    comparison = compare(run, ["random", *(f"stored:{name}" for name in names), "oracle"], baseline="random")
    assert isinstance(comparison, Comparison)
    rows = list_rows(run, comparison, names, seconds)
    print_table(rows)

    blind = make_run(folder / "run_without_tests", write_pools(data, folder, quick, has_tests=False))
    assert not any(problem.tests for problem in blind.problems())
    assert all(problem.tests for problem in run.problems())
    # What programs did is shared: a job that depended on hidden tests would not be found there, and run anew.
    _share_executions(run, blind)
    before = _count_executions(blind)
    make_selections(blind, SELECTORS, None)
    differing = {
        name: sum(a != b for a, b in zip(list_selections(run, name), list_selections(blind, name), strict=True))
        for name in SELECTORS
    }
    new_jobs = _count_executions(blind) - before
    print(f"\nwithout the hidden tests: {sum(differing.values())} selections differ, {new_jobs} other jobs ran")
    accuracy = {row["selector"]: row["accuracy"] for row in rows}
    return {
        "problems": comparison.problems,
        "trajectories": comparison.n_max,
        "rows": rows,
        "differing_without_hidden_tests": differing,
        "new_jobs_without_hidden_tests": new_jobs,
        "reached": {name: accuracy[name] >= least for name, least in LEAST.items()},
    }


def _share_executions(run: Run, other: Run) -> None:
    source, target = run.path / ".executions", other.path / ".executions"
    if source.is_dir() and not target.exists():
        target.mkdir()
        for path in source.iterdir():
            (target / path.name).write_bytes(path.read_bytes())


def _count_executions(run: Run) -> int:
    from nbest.storage.execution_files import ExecutionFiles

    return len(ExecutionFiles(run.path))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="the folder with pools/")
    parser.add_argument("--run", type=Path, help="keep the runs in this folder")
    parser.add_argument("--judge", type=Path, help="the TOML file of a judge, for selectors that ask a model")
    parser.add_argument("--quick", action="store_true", help="every eighth problem only")
    add_json_option(parser)
    options = parser.parse_args()
    output = JsonResult(options.json_out)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.run or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        measured = run_benchmark(options.data, folder, options.judge, options.quick)
    output.write(measured)
    # The bars are those of all problems: a part of them says little.
    is_blind = not any(measured["differing_without_hidden_tests"].values())
    if not is_blind or not (options.quick or all(measured["reached"].values())):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
