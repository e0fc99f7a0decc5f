"""Measure what each part of DAPO contributes to a small selector: several seeds, each part switched off, a weak policy.

Every run starts from the same cold start (made by `nbest train genselect` with the same recipe). The benchmark prints
the learning curve of each run on held-out tasks, and the cost of dynamic sampling: the rollouts per group whose rewards
differ. Finished runs are not repeated, and a run that was killed resumes. Runs are trained one after another; start the
benchmark several times with other names to train them at once.

    python benchmarks/genselect_training.py genselect_arithmetic --out runs/genselect --only seed-1 seed-2
    python benchmarks/genselect_training.py genselect_arithmetic --out runs/genselect --show \
        --json results/genselect_training.json --chart docs/results/genselect_training.svg
    python benchmarks/genselect_training.py --quick
"""

import argparse
import json
import platform
import tempfile
from pathlib import Path
from typing import Any

import altair as alt
import torch
from json_result import JsonResult, add_json_option

from nbest.config import load_config
from nbest.named_configs import find_config
from nbest.report.charts import COLOURS, apply_style, embed_rows
from nbest.report.rendering import render_svg, write_file
from nbest.training.genselect import train_genselect
from nbest.training.settings import SelectionTrainingConfig

RUNS: dict[str, dict[str, Any]] = {
    "seed-1": {"seed": 1},
    "seed-2": {"seed": 2},
    "seed-3": {"seed": 3},
    "no-clip-higher": {"dapo": {"clip_high": 0.2}},
    "no-dynamic-sampling": {"dapo": {"most_rounds": 1}},
    "no-token-loss": {"dapo": {"token_loss": False}},
    "no-overlong": {"dapo": {"overlong_tokens": 0, "filter_overlong": False}},
    "weak": {},
}
BASELINE = "seed-1"
"""The run to compare with; runs with a part switched off have the same seed."""
QUICK: dict[str, Any] = {
    "data": {"validation_count": 16, "validate_every": 2},
    "rollouts": {"prompts": 4, "group": 4, "max_tokens": 64},
    "optimiser": {"updates": 2, "micro_rows": 8},
    "dapo": {"most_rounds": 2, "overlong_tokens": 16},
}
DASHES = ([2, 2], [5, 3], [9, 3], [9, 3, 2, 3])
MEASURES = {
    "kept": "sampling/useful_share",
    "rollouts": "sampling/rollouts_per_useful_group",
    "failed": "judgements/failed_share",
    "entropy": "entropy",
    "clipped": "clip_ratio/region_mean",
    "tokens": "completions/mean_length",
}


def vary(base: SelectionTrainingConfig, name: str, out: Path, changes: dict[str, Any]) -> SelectionTrainingConfig:
    """Return `base` with the finished cold start as its model and the changes of one run."""
    values = base.model_dump() | {
        "cold_start": None,
        "model": str(base.out / "cold_start" / "model"),
        "out": out / name,
    }
    for section, change in changes.items():
        values[section] = {**values[section], **change} if isinstance(change, dict) else change
    return SelectionTrainingConfig.model_validate(values)


def train_all(base: SelectionTrainingConfig, args: argparse.Namespace) -> None:
    for name in args.only or RUNS:
        changes = dict(RUNS[name])
        if name == "weak":
            if args.weak_tasks is None:
                print("weak: skipped, because --weak-tasks was not given")
                continue
            changes["data"] = {"tasks": [args.weak_tasks]}
        config = vary(base, name, args.out, merge(changes, QUICK) if args.quick else changes)
        if not (config.out / "model" / "selection.json").is_file():
            torch.set_num_threads(config.threads)
            result = train_genselect(config)
            print(f"{name}: {dict(result.metrics)}", flush=True)


def merge(changes: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    merged = dict(more)
    for name, change in changes.items():
        merged[name] = {**more.get(name, {}), **change} if isinstance(change, dict) else change
    return merged


def read_run(folder: Path) -> dict[str, Any]:
    """Return held-out accuracy by update, and means of each measure over the first and the last fifth of updates."""
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    curve = {line["update"]: line["validation_accuracy"] for line in lines if "validation_accuracy" in line}
    failed = {line["update"]: line["validation_failed_share"] for line in lines if "validation_accuracy" in line}
    result: dict[str, Any] = {"accuracy": curve, "failed": failed}
    for name, measure in MEASURES.items():
        values = [line[measure] for line in lines if line.get(measure) is not None]
        part = max(len(values) // 5, 1)
        result[name] = {"first": sum(values[:part]) / part, "last": sum(values[-part:]) / part} if values else None
    return result


def show(out: Path) -> dict[str, Any]:
    runs = {name: read_run(out / name) for name in RUNS if (out / name / "log.jsonl").is_file()}
    updates = sorted({update for run in runs.values() for update in run["accuracy"]})
    marks = updates[:: max(len(updates) // 6, 1)]
    marks = marks if not updates or marks[-1] == updates[-1] else [*marks, updates[-1]]
    print("| run | " + " | ".join(f"update {mark}" for mark in marks) + " |\n|---" + "|---" * len(marks) + "|")
    for name, run in runs.items():
        cells = (run["accuracy"].get(mark) for mark in marks)
        print(f"| {name} | " + " | ".join("" if cell is None else f"{100 * cell:.1f}" for cell in cells) + " |")
    print(
        "\nFirst and last fifth of the updates:\n| run | "
        + " | ".join(MEASURES)
        + " |\n|---"
        + "|---" * len(MEASURES)
        + "|"
    )
    for name, run in runs.items():
        cells = ("" if run[m] is None else f"{run[m]['first']:.3g} -> {run[m]['last']:.3g}" for m in MEASURES)
        print(f"| {name} | " + " | ".join(cells) + " |")
    return runs


def draw(runs: dict[str, Any], file: Path) -> None:
    """Write the learning curves as SVG: seeds and the weak policy in colour, runs with a part switched off in grey."""
    values = [
        {"run": name, "update": update, "accuracy": accuracy}
        for name, run in runs.items()
        for update, accuracy in run["accuracy"].items()
    ]
    names = list(runs)
    colours = ["#9aa1ab" if name.startswith("no-") else colour for name, colour in zip(names, COLOURS, strict=False)]
    dashes = [DASHES[sum(other.startswith("no-") for other in names[:at])] if name.startswith("no-") else [1, 0]
              for at, name in enumerate(names)]  # fmt: skip
    chart = (
        alt.Chart(embed_rows(values))
        .mark_line()
        .encode(
            x=alt.X("update:Q", title="updates of DAPO"),
            y=alt.Y("accuracy:Q", title="accuracy", axis=alt.Axis(format=".0%")).scale(zero=False, nice=True),
            color=alt.Color("run:N", title=None, sort=names).scale(domain=names, range=colours),
            strokeDash=alt.StrokeDash("run:N", title=None, sort=names).scale(domain=names, range=dashes),
        )
    )
    title = "Accuracy on held-out tasks while DAPO trains"
    write_file(file, render_svg(apply_style(chart, title, "validation tasks, one judgement each, T = 0.6")).encode())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "config", type=Path, nargs="?", default=Path("src/nbest/configs/genselect/genselect_arithmetic.toml")
    )
    parser.add_argument("--out", type=Path, default=Path("runs/genselect"))
    parser.add_argument("--only", nargs="+", choices=[*RUNS])
    parser.add_argument("--weak-tasks", type=Path, help="task file built from a weak policy's pools")
    parser.add_argument("--show", action="store_true", help="only show finished runs")
    parser.add_argument("--quick", action="store_true", help="two updates of one run")
    add_json_option(parser)
    parser.add_argument("--chart", type=Path, metavar="FILE.svg", help="draw the learning curves")
    args = parser.parse_args()
    output = JsonResult(args.json_out)
    with tempfile.TemporaryDirectory() as scratch:
        if args.quick:
            args.out, args.only = Path(scratch), args.only or [BASELINE]
        base = load_config(SelectionTrainingConfig, find_config(args.config, "genselect"))
        if not args.show:
            if not (base.out / "cold_start" / "model" / "selection.json").is_file():
                raise SystemExit(f"no cold start under {base.out}: run `nbest train genselect {args.config}` first")
            train_all(base, args)
        runs = show(args.out)
        if args.chart:
            draw(runs, args.chart)
    machine = {"processor": platform.processor() or platform.machine(), "torch": torch.__version__, "threads": 1}
    sizes = {"updates": base.optimiser.updates, "prompts": base.rollouts.prompts, "group": base.rollouts.group}
    useful = {name: run["rollouts"]["last"] / base.rollouts.group for name, run in runs.items() if run["rollouts"]}
    output.write(
        {"name": "genselect_training", "machine": machine, "sizes": sizes, "baseline": "one draw of a group",
         "ratios": useful, "seconds": {}, "runs": runs}
    )  # fmt: skip


if __name__ == "__main__":
    main()
