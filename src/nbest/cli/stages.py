"""The stages of a run: sample, encode, verify, score, select, compact. Each can be killed and run again."""

import json
import math
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nbest.cli.code_verdicts import CodeModeOption, print_code
from nbest.cli.completion import complete_configs, complete_scorers, complete_selectors
from nbest.cli.judgements import show_judgements
from nbest.cli.progress import show_activity, show_progress
from nbest.cli.terminal import (
    AnswerRule,
    JsonOut,
    RunPath,
    Screen,
    console,
    print_answers,
    print_counts,
    print_warning,
    table,
    write_json,
)
from nbest.errors import ConfigError
from nbest.plurals import show_count, show_part

if TYPE_CHECKING:
    from nbest.stages import EncodeReport, SampleReport, ScoreReport, SelectReport, VerifyReport


class RedoChoice(StrEnum):
    """The values of `--redo`."""

    FAILED = "failed"


Config = Annotated[
    str,
    typer.Option(
        "--config",
        "-c",
        autocompletion=complete_configs,
        help="A TOML file, or the name of a config that comes with the package (see `nbest configs`). Flags "
        "override it.",
    ),
]
_SHOWN_REASONS = 3
"""How many reasons of abstentions are printed per selector."""

Judge = Annotated[
    str | None,
    typer.Option(
        "--judge", metavar="MODEL", help="The model that judges candidates: bundled:NAME, a folder or a hub id."
    ),
]
Redo = Annotated[
    RedoChoice | None,
    typer.Option(
        "--redo",
        metavar="failed",
        help="First remove the stored results that failed, and then make them again: ungraded verdicts, scores that "
        "are NaN, abstentions, selections without a judgement, and scores and selections that lack some judgements.",
    ),
]
SandboxBackend = Annotated[
    str | None,
    typer.Option(
        "--sandbox",
        metavar="BACKEND",
        help="What isolates the programs that run: auto (the best of this machine), namespaces, unprivileged, or the "
        "URL of a SandboxFusion server.",
        show_default="auto",
    ),
]
AllowUnsandboxed = Annotated[
    bool,
    typer.Option(
        "--allow-unsandboxed",
        help="Run programs without isolation where this machine offers none. They may damage it.",
        show_default=False,
    ),
]
JudgeConfig = Annotated[
    Path | None,
    typer.Option("--judge-config", metavar="FILE", help="A TOML file with the judge and its settings."),
]


def sample(
    run: RunPath,
    config: Config = "arithmetic",
    n: Annotated[int | None, typer.Option("--n", help="Number of trajectories per problem.")] = None,
    allow_large_n: Annotated[
        bool, typer.Option("--allow-large-n", help="Confirm that --n is above 1,000,000.", show_default=False)
    ] = False,
    problems: Annotated[
        str | None,
        typer.Option(
            help="'arithmetic', the name of a benchmark, a .toml file that describes one, or a file of problems "
            "(.jsonl, .csv, .parquet) with columns such as question and answer."
        ),
    ] = None,
    file: Annotated[Path | None, typer.Option(help="A local copy of the benchmark.")] = None,
    count: Annotated[int | None, typer.Option(help="Sample only the first COUNT problems.")] = None,
    split: Annotated[
        str | None, typer.Option(help="Which problems of 'arithmetic': train, validation or test.")
    ] = None,
    answer: AnswerRule = None,
    policy: Annotated[
        str | None, typer.Option(metavar="MODEL", help="The model that samples: bundled:NAME, a folder or a hub id.")
    ] = None,
    temperature: Annotated[float | None, typer.Option(help="Sampling temperature; 0 is greedy.")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Maximum number of tokens per trajectory.")] = None,
    system: Annotated[
        str | None, typer.Option(metavar="TEXT", help="A system prompt that goes before every question.")
    ] = None,
    template_arguments: Annotated[
        list[str] | None,
        typer.Option(
            "--template-argument",
            metavar="KEY=VALUE",
            help="A variable of the chat template, such as enable_thinking=false. May be repeated.",
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Random seed of the run.")] = None,
    capture: Annotated[
        bool | None, typer.Option("--capture/--no-capture", help="Store hidden states at step ends.")
    ] = None,
    layers: Annotated[
        list[int] | None,
        typer.Option("--layer", help="A layer whose states are stored; -1 is the last one. May be repeated."),
    ] = None,
    shard: Annotated[
        str,
        typer.Option(
            metavar="I/K", help="Sample only part I of K (from 0), so that several processes can fill one run."
        ),
    ] = "0/1",
    json_out: JsonOut = None,
) -> None:
    """Sample N trajectories per problem, with hidden states at step ends."""
    from nbest.problems.problem_files import describe_guess, is_problem_file
    from nbest.stages import read_settings
    from nbest.stages import sample as run_sample

    changes = {
        "problems.source": problems,
        "problems.file": file,
        "problems.count": count,
        "problems.split": split,
        "problems.answer_rule": answer,
        "policy.model": policy,
        "sampling.temperature": temperature,
        "sampling.max_tokens": max_tokens,
        "sampling.capture": _choose_capture(capture, layers),
        "policy.template_arguments": _read_arguments(template_arguments),
        "system": system,
        "n": n,
        "seed": seed,
    }
    settings, part = read_settings(config, changes, shard=shard, allow_large_n=allow_large_n)
    screen = console(json_out)
    if is_problem_file(settings.problems.source):
        screen.print(describe_guess(Path(settings.problems.source)))
    with show_progress() as on_progress:
        report = run_sample(
            run,
            settings,
            shard=part,
            on_progress=on_progress,
            on_note=lambda note: screen.print(f"note: {note}"),
            allow_large_n=allow_large_n,
        )
    print_sample(screen, report)
    write_json(report.to_json(), json_out)


def _choose_capture(capture: bool | None, layers: Sequence[int] | None) -> bool | tuple[int, ...] | None:
    """Return the layers of `--layer`, else what `--capture` says. Raises ConfigError if the two contradict."""
    if layers and capture is False:
        raise ConfigError("--layer: --no-capture stores no hidden states; leave one of the two out")
    return tuple(layers) if layers else capture


def _read_arguments(words: Sequence[str] | None) -> dict[str, bool | int | float | str] | None:
    """Read `KEY=VALUE`; a value is true, false, a number, or else text. Raises ConfigError."""
    faulty = [word for word in words or () if not word.partition("=")[0] or "=" not in word]
    if faulty:
        raise ConfigError(
            f"--template-argument: got {word!r}; allowed is KEY=VALUE, such as enable_thinking=false" for word in faulty
        )
    pairs = [word.split("=", 1) for word in words or ()]
    return {key: _read_value(value) for key, value in pairs} or None


def _read_value(text: str) -> bool | int | float | str:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    is_plain = isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value))
    return value if is_plain or isinstance(value, str) else text


def print_sample(screen: Screen, report: "SampleReport") -> None:
    """Print what was sampled."""
    screen.print(
        f"{report.run}: {show_count(report.new_trajectories, 'trajectory')} drawn "
        f"in {report.seconds:.1f} s ({show_count(report.tokens, 'token')}); "
        f"the run holds {report.trajectories:,} of {report.planned_trajectories:,}"
    )
    if report.failed:
        screen.print(f"failed: {show_count(report.failed, 'trajectory')}; the first is {report.first_failure}")


def encode(
    run: RunPath,
    policy: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="The model that sampled the text: bundled:NAME, a folder or a hub id. Default: the policy of the run.",
        ),
    ] = None,
    layers: Annotated[
        list[int] | None,
        typer.Option(
            "--layer", help="A layer whose states are stored; -1, the default, is the last one. May be repeated."
        ),
    ] = None,
    redo: Annotated[
        RedoChoice | None,
        typer.Option(
            "--redo", metavar="failed", help="Also try the trajectories again that could not be encoded before."
        ),
    ] = None,
    json_out: JsonOut = None,
) -> None:
    """Compute the hidden states of trajectories that have none, such as imported trajectories."""
    from nbest.stages import encode as run_encode

    with show_progress() as on_progress:
        report = run_encode(run, policy, tuple(layers or (-1,)), redo_failed=redo is not None, on_progress=on_progress)
    print_states(console(json_out), report)
    write_json(report.to_json(), json_out)


def print_states(screen: Screen, report: "EncodeReport") -> None:
    """Print how many trajectories have hidden states, and why others have none."""
    failed = f" ({report.failed:,} failed when they were sampled)" if report.failed else ""
    screen.print(
        f"{report.run}: hidden states of {show_part(report.with_states, report.trajectories, 'trajectory')}{failed}",
    )
    if report.redone is not None:
        screen.print(f"skipped before and tried again: {report.redone:,}")
    for reason, count in report.skipped.items():
        screen.print(f"skipped: {count:,} {reason}; the first is {report.first_messages[reason]}")


def verify(
    run: RunPath,
    redo: Redo = None,
    sandbox: SandboxBackend = None,
    allow_unsandboxed: AllowUnsandboxed = False,
    code_mode: CodeModeOption = None,
    json_out: JsonOut = None,
) -> None:
    """Grade every answer against its target, and run every program on its tests."""
    from nbest.stages import SandboxSettings
    from nbest.stages import verify as run_verify
    from nbest.verifying.code.settings import CodeSettings

    with show_progress() as on_progress:
        report = run_verify(
            run,
            redo_failed=redo is not None,
            sandbox=SandboxSettings(sandbox or "auto", allow_unsandboxed) if sandbox or allow_unsandboxed else None,
            code=None if code_mode is None else CodeSettings(code_mode.value),
            on_progress=on_progress,
        )
    screen = console(json_out)
    print_redone(screen, "verdicts", report.redone)
    print_verdicts(screen, report)
    write_json(report.to_json(), json_out)


def print_redone(screen: Screen, results: str, count: int | None, note: str = "") -> None:
    """Print how many failed results were removed to be made again, and what is unknown about the stored ones."""
    if count is not None:
        screen.print(f"{results}: {count:,} that had failed were removed and made again")
    if note:
        screen.print(f"note: {note}")


def print_verdicts(screen: Screen, report: "VerifyReport") -> None:
    """Print how many trajectories are right, wrong and ungraded, and how their answers were read."""
    print_warning(screen, report.counts)
    counts = {"right": report.right, "wrong": report.wrong, "ungraded": report.ungraded}
    parts = ", ".join(f"{count:,} {name}" for name, count in counts.items() if count)
    screen.print(f"{report.run}: {parts}, of {show_count(report.trajectories, 'trajectory')}")
    print_code(screen, report)
    print_answers(screen, report.answers, has_unread=False)
    print_counts(screen, report.counts)


def score(
    run: RunPath,
    scorer: Annotated[
        list[str],
        typer.Option(
            "--scorer", "-s", autocompletion=complete_scorers, help="A scorer (see `nbest methods`). May be repeated."
        ),
    ],
    scorer_model: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="The trained step scorer or reward model: a folder or a hub id."),
    ] = None,
    family: Annotated[str | None, typer.Option(help="The family of the reward model, such as skywork-reward.")] = None,
    judge: Judge = None,
    judge_config: JudgeConfig = None,
    name: Annotated[
        str | None, typer.Option("--as", metavar="NAME", help="The name under which the scores are stored.")
    ] = None,
    redo: Redo = None,
    json_out: JsonOut = None,
) -> None:
    """Score every trajectory of a run and store the scores, for selectors such as `score:NAME` and `vote:NAME`."""
    from nbest.stages import read_judge_config
    from nbest.stages import score as run_score

    settings = read_judge_config(judge, judge_config)
    with show_progress() as on_progress:
        reports = run_score(
            run,
            scorer,
            scorer_model=scorer_model,
            family=family,
            judge=settings,
            as_name=name,
            redo_failed=redo is not None,
            on_progress=on_progress,
        )
    print_scores(console(json_out), reports)
    write_json({"run": str(run), "scores": [report.to_json() for report in reports]}, json_out)


def print_scores(screen: Screen, reports: "Sequence[ScoreReport]") -> None:
    """Print how many trajectories each scorer has scored, and why others have no score."""
    cells: list[list[str]] = []
    for report in reports:
        reasons = ", ".join(f"{count} {reason}" for reason, count in report.reasons.items())
        cells.append([report.scorer, f"{report.scored:,}", f"{report.unscored:,}", reasons])
    screen.print(table("", ["scorer", "scored", "without", "why"], cells))
    for report in reports:
        print_redone(screen, f"scores/{report.scorer}", report.redone, report.note)
    show_judgements([(report.scorer, report.judgements) for report in reports], screen)


def select(
    run: RunPath,
    selector: Annotated[
        list[str],
        typer.Option(
            "--selector",
            "-s",
            autocompletion=complete_selectors,
            help="A selector (see `nbest methods`), or the .json file of a combined selector. May be repeated.",
        ),
    ],
    seed: Annotated[
        int | None, typer.Option(help="Random seed of selectors that use random numbers or a judge.", show_default="0")
    ] = None,
    judge: Judge = None,
    judge_config: JudgeConfig = None,
    n: Annotated[
        int | None,
        typer.Option(
            "--n", min=1, help="Select among the first N trajectories of each pool, and store the selections as NAME@N."
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--as", metavar="NAME", help="The name under which the selections are stored.")
    ] = None,
    redo: Redo = None,
    sandbox: SandboxBackend = None,
    allow_unsandboxed: AllowUnsandboxed = False,
    json_out: JsonOut = None,
) -> None:
    """Select one trajectory of every pool, and store the selections."""
    from nbest.stages import SandboxSettings, read_judge_config
    from nbest.stages import select as run_select

    settings = read_judge_config(judge, judge_config)
    with show_progress() as on_progress:
        reports = run_select(
            run,
            selector,
            seed=seed,
            judge=settings,
            n=n,
            as_name=name,
            redo_failed=redo is not None,
            sandbox=SandboxSettings(sandbox or "auto", allow_unsandboxed) if sandbox or allow_unsandboxed else None,
            on_progress=on_progress,
        )
    print_selections(console(json_out), reports)
    write_json({"run": str(run), "selections": [report.to_json() for report in reports]}, json_out)


def print_selections(screen: Screen, reports: "Sequence[SelectReport]") -> None:
    """Print in how many pools each selector picked a trajectory, and in how many it abstained."""
    cells = [[report.selector, str(report.selected), str(report.abstained)] for report in reports]
    screen.print(table("", ["selector", "selected", "abstained"], cells))
    for report in reports:
        print_redone(screen, f"selections/{report.selector}", report.redone, report.note)
        for reason, count in list(report.reasons.items())[:_SHOWN_REASONS]:
            screen.print(f"{report.selector} abstained in {show_count(count, 'pool')}: {reason}")
        if (rest := len(report.reasons) - _SHOWN_REASONS) > 0:
            screen.print(f"{report.selector} abstained for {show_count(rest, 'more reason')}; --json lists all")
    show_judgements([(report.selector, report.judgements) for report in reports], screen)


def compact(run: RunPath, json_out: JsonOut = None) -> None:
    """Merge small parts, and remove duplicates and the files that killed processes left behind."""
    from dataclasses import asdict

    from nbest.storage.compaction import compact as compact_run
    from nbest.storage.run import Run

    with show_activity("merge the parts"):
        folders = compact_run(Run.open(run))
    cells = [
        [
            folder.folder,
            f"{folder.parts_before} -> {folder.parts_after}",
            f"{folder.bytes_before:,} -> {folder.bytes_after:,}",
            str(folder.duplicates),
        ]
        for folder in folders
    ]
    console(json_out).print(table("", ["folder", "parts", "bytes", "duplicates dropped"], cells))
    write_json({"run": str(run), "folders": [asdict(folder) for folder in folders]}, json_out)
