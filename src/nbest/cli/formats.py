"""`nbest import`, `nbest export` and `nbest benchmarks`: the formats of other tools."""

from pathlib import Path
from typing import Annotated, Any

import typer

from nbest.cli.progress import show_progress
from nbest.cli.terminal import (
    AnswerRule,
    JsonOut,
    RunPath,
    check_file,
    console,
    print_answers,
    table,
    write_json,
)
from nbest.plurals import agree, show_count

imports = typer.Typer(help="Import outputs that were sampled elsewhere into a run.", no_args_is_help=True)
PRINTED_FAULTS = 20

IntoRun = Annotated[Path, typer.Argument(metavar="RUN", help="The run folder; it is created if it does not exist.")]
Files = Annotated[list[Path], typer.Argument(metavar="FILE...", help="One or more files; .gz files are decompressed.")]
FilesOrFolders = Annotated[
    list[Path], typer.Argument(metavar="PATH...", help="One or more folders or files; .gz files are decompressed.")
]
KindName = Annotated[
    str | None,
    typer.Option(
        "--kind",
        help="The kind of the problems: math, choice, exact, number, python, date or code. It overrides the file.",
    ),
]


@imports.command("pools")
def import_pools(
    run: IntoRun,
    files: Files,
    kind: KindName = None,
    answer: AnswerRule = None,
    confidences_sign: Annotated[
        str | None,
        typer.Option(
            metavar="SIGN",
            help="Sign of the confidences: nbest (default, never above 0) or deepconf (never below 0). It overrides "
            "the file.",
        ),
    ] = None,
    json_out: JsonOut = None,
) -> None:
    """Import JSON lines with one problem and its samples per line (see docs/formats.md)."""
    options = {"kind": kind, "answer": answer, "confidences_sign": confidences_sign}
    _import("pools", files, run, options, json_out)


@imports.command("nemo-skills")
def import_nemo_skills(
    run: IntoRun, files: FilesOrFolders, kind: KindName = None, answer: AnswerRule = None, json_out: JsonOut = None
) -> None:
    """Import folders of output-rs*.jsonl files, as NeMo-Skills writes them."""
    _import("nemo-skills", files, run, {"kind": kind, "answer": answer}, json_out)


@imports.command("lm-eval")
def import_lm_eval(
    run: IntoRun,
    files: Files,
    kind: KindName = None,
    answer: AnswerRule = None,
    filter: Annotated[
        str | None, typer.Option(help="The filter whose lines are read. Default: the first one of the file.")
    ] = None,
    metric: Annotated[str, typer.Option(help="The field that says whether an answer is right.")] = "exact_match",
    json_out: JsonOut = None,
) -> None:
    """Import samples_*.jsonl files, as lm-evaluation-harness writes them with --log_samples."""
    options = {"kind": kind, "answer": answer, "filter": filter, "metric": metric}
    _import("lm-eval", files, run, options, json_out)


def _import(format: str, files: list[Path], path: Path, options: dict[str, Any], json_out: str | None) -> None:
    from nbest.errors import DataError
    from nbest.formats.importing import import_files
    from nbest.formats.intake import ImportProgress
    from nbest.stages import StageProgress

    screen = console(json_out)
    with show_progress() as on_progress:

        def report_progress(progress: ImportProgress) -> None:
            if progress.stage == "problems":
                # The first of two passes over the files.
                half = progress.total_bytes // 2
                on_progress(StageProgress("read the files", progress.done_bytes, half, unit="bytes"))
            else:
                on_progress(StageProgress("import", progress.trajectories, progress.total_trajectories))

        report = import_files(path, format, files, report_progress, **options)
    for note in report.notes:
        screen.print(f"note: {note}")
    selections = f", {show_count(report.selections, 'selection')}" if report.selections else ""
    screen.print(
        f"{path}: {show_count(report.problems, 'problem')}, {show_count(report.trajectories, 'trajectory')}, "
        f"{show_count(report.verdicts, 'verdict')}, {show_count(report.scores, 'score')}{selections} added; "
        f"{show_count(report.present, 'trajectory')} {agree(report.present, 'was')} there before"
    )
    print_answers(screen, report.answers)
    names = ("problems", "trajectories", "verdicts", "scores", "selections", "present", "fault_count")
    faults = [str(fault) for fault in report.faults]
    counts = {name: getattr(report, name) for name in names} | {"answers": report.answers.to_json()}
    write_json(counts | {"faults": faults, "notes": report.notes}, json_out)
    if not report.is_clean:
        lines = faults[:PRINTED_FAULTS]
        rest_count = report.fault_count - len(lines)
        rest_line = [f"... and {rest_count:,} more (the first 1,000 with --json)"] if rest_count else []
        result = "the good lines were imported" if report.entries else f"nothing was imported from {_name(files)}"
        count = show_count(report.fault_count, "fault")
        raise DataError("\n".join([f"{count}; {result}:", *lines, *rest_line]))


def _name(files: list[Path]) -> str:
    first = ", ".join(map(str, files[:3]))
    return first if len(files) <= 3 else f"{first} and {show_count(len(files) - 3, 'other file')}"


def export(
    run: RunPath,
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            metavar="FILE",
            callback=check_file,
            help="The file to write; pools are compressed if its name ends in .gz.",
        ),
    ],
    format: Annotated[str, typer.Option("--format", help="Format of the file: pools, csv or parquet.")] = "pools",
    tokens: Annotated[
        bool, typer.Option("--tokens", help="Include token ids, confidences and certainties in pools.")
    ] = False,
    json_out: JsonOut = None,
) -> None:
    """Write a run as JSON lines of pools, or its verdicts and scores as a table."""
    from nbest.errors import ConfigError
    from nbest.formats.exports import export_run
    from nbest.storage.run import Run

    if tokens and format in ("csv", "parquet"):
        raise ConfigError(f"--tokens does nothing for the format {format!r}: only pools hold tokens. Leave it out.")
    with show_progress(has_last_lines=False) as on_progress:
        lines = export_run(Run.open(run), out, format, tokens, on_progress)
    console(json_out).print(f"{out}: {lines:,} {'problems' if format == 'pools' else 'rows'} written")
    write_json({"out": str(out), "format": format, "lines": lines}, json_out)


def benchmarks(json_out: JsonOut = None) -> None:
    """List the benchmarks that `sample --problems NAME` accepts; --json also writes their sources and prompts."""
    from dataclasses import asdict

    from nbest.problems.benchmarks import list_benchmarks, templates
    from nbest.problems.content_records import records_file

    entries = list_benchmarks()
    prompts = {text: name for name, text in templates().items()}
    rows: list[list[str]] = []
    for benchmark in entries:
        source = ", ".join(benchmark.files) if benchmark.files else f"{benchmark.config} {benchmark.split}".strip()
        doubts = f"\nunconfirmed: {', '.join(benchmark.unconfirmed)}" if benchmark.unconfirmed else ""
        rows.append(
            [
                f"{benchmark.name}\n{benchmark.title}",
                f"{benchmark.hub}\n{source}",
                str(benchmark.problems or "-"),
                prompts.get(benchmark.template, "-"),
                benchmark.rule,
                f"{benchmark.licence or '-'}{doubts}",
            ]
        )
    heads = ["name", "hub id, split", "problems", "prompt", "right when", "licence"]
    screen = console(json_out)
    screen.print(table("", heads, rows, has_lines=True))
    screen.print(f"content hashes are recorded in {records_file()}")
    dates = ("since", "until", "file")
    write_json(
        [
            asdict(b) | {key: None if getattr(b, key) is None else str(getattr(b, key)) for key in dates}
            for b in entries
        ],
        json_out,
    )
