"""Other people's formats: import, export, benchmarks."""

from pathlib import Path
from typing import Annotated, Any

import typer

from nbest.cli.terminal import JsonOut, RunPath, console, show_progress, table, write_json

imports = typer.Typer(help="Import outputs that were sampled elsewhere into a run.", no_args_is_help=True)
PRINTED_FAULTS = 20

IntoRun = Annotated[Path, typer.Argument(metavar="RUN", help="The run folder, made where there is none.")]
Files = Annotated[list[Path], typer.Argument(metavar="FILE...", help="One or more files; .gz is read as it is.")]
KindName = Annotated[
    str | None, typer.Option("--kind", help="math, choice or code: the kind of the problems. Overrides the file.")
]


@imports.command("pools")
def import_pools(run: IntoRun, files: Files, kind: KindName = None, json_out: JsonOut = None) -> None:
    """Import JSON lines, one problem with its samples per line (docs/formats.md)."""
    _import("pools", files, run, {"kind": kind}, json_out)


@imports.command("nemo-skills")
def import_nemo_skills(run: IntoRun, files: Files, kind: KindName = None, json_out: JsonOut = None) -> None:
    """Import folders of output-rs*.jsonl, as NeMo-Skills writes them."""
    _import("nemo-skills", files, run, {"kind": kind}, json_out)


@imports.command("lm-eval")
def import_lm_eval(
    run: IntoRun,
    files: Files,
    kind: KindName = None,
    filter: Annotated[
        str | None, typer.Option(help="The filter whose lines are read. Default: the first one of the file.")
    ] = None,
    metric: Annotated[str, typer.Option(help="The field that says whether an answer is right.")] = "exact_match",
    json_out: JsonOut = None,
) -> None:
    """Import samples_*.jsonl, as lm-evaluation-harness writes them with --log_samples."""
    _import("lm-eval", files, run, {"kind": kind, "filter": filter, "metric": metric}, json_out)


def _import(format: str, files: list[Path], path: Path, options: dict[str, Any], json_out: str | None) -> None:
    from nbest.errors import DataError
    from nbest.formats.importing import import_files
    from nbest.formats.intake import ImportProgress
    from nbest.stages import StageProgress

    screen = console(json_out)
    with show_progress() as on_progress:

        def report_progress(progress: ImportProgress) -> None:
            on_progress(StageProgress("import", progress.trajectories, None))

        report = import_files(path, format, files, report_progress, **options)
    for note in report.notes:
        screen.print(f"note: {note}", markup=False)
    screen.print(
        f"{path}: {report.problems:,} problems, {report.trajectories:,} trajectories, {report.verdicts:,} verdicts, "
        f"{report.scores:,} scores added; {report.present:,} trajectories were there before"
    )
    names = ("problems", "trajectories", "verdicts", "scores", "present", "fault_count")
    faults = [str(fault) for fault in report.faults]
    write_json({name: getattr(report, name) for name in names} | {"faults": faults, "notes": report.notes}, json_out)
    if not report.is_clean:
        listed = faults[:PRINTED_FAULTS]
        more = report.fault_count - len(listed)
        rest = [f"... and {more:,} more (the first 1,000 with --json)"] if more else []
        raise DataError("\n".join([f"{report.fault_count:,} faults; the good lines were imported:", *listed, *rest]))


def export(
    run: RunPath,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The file to write; .gz compresses pools.")],
    format: Annotated[str, typer.Option("--format", help="pools, csv or parquet.")] = "pools",
    tokens: Annotated[
        bool, typer.Option("--tokens", help="Keep token ids, confidences and certainties in pools.")
    ] = False,
    json_out: JsonOut = None,
) -> None:
    """Write a run as JSON lines of pools, or its verdicts and scores as a table."""
    from nbest.errors import ConfigError
    from nbest.formats.exports import export_run
    from nbest.storage.run import Run

    if tokens and format in ("csv", "parquet"):
        raise ConfigError(f"--tokens does nothing for the format {format!r}: only pools hold tokens. Leave it out.")
    lines = export_run(Run.open(run), out, format, tokens)
    console(json_out).print(f"{out}: {lines:,} {'problems' if format == 'pools' else 'rows'} written")
    write_json({"out": str(out), "format": format, "lines": lines}, json_out)


def benchmarks(json_out: JsonOut = None) -> None:
    """List the benchmarks that `sample --problems NAME` knows; --json has their sources and prompts too."""
    from dataclasses import asdict

    from nbest.problems.benchmarks import list_benchmarks, templates
    from nbest.problems.content_records import records_file

    known = list_benchmarks()
    prompts = {text: name for name, text in templates().items()}
    rows: list[list[str]] = []
    for benchmark in known:
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
    screen.print(table("", heads, rows))
    screen.print(f"content hashes are recorded in {records_file()}", markup=False)
    dates = ("since", "until", "file")
    write_json(
        [asdict(b) | {key: None if getattr(b, key) is None else str(getattr(b, key)) for key in dates} for b in known],
        json_out,
    )
