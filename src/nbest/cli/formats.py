"""Other people's formats: import, export, benchmarks."""

from pathlib import Path
from typing import Annotated, Any

import typer

from nbest.cli.terminal import JsonOut, RunPath, console, progress, table, write_json

imports = typer.Typer(help="Bring outputs sampled elsewhere into a run.", no_args_is_help=True)
SHOWN_FAULTS = 20

Files = Annotated[list[Path], typer.Argument(metavar="FILE...", help="One or more; .gz is read as it is.")]
Into = Annotated[Path, typer.Option("--run", help="The run folder to make or to go on with.")]
KindName = Annotated[str | None, typer.Option("--kind", help="math, choice or code; overrides what the file says.")]


@imports.command("pools")
def import_pools(files: Files, run: Into, kind: KindName = None, json_out: JsonOut = None) -> None:
    """JSON lines, a problem a line with its samples (docs/formats.md)."""
    _import("nbest.formats.pools:import_pools", files, run, {"kind": kind}, json_out)


@imports.command("nemo-skills")
def import_nemo_skills(files: Files, run: Into, kind: KindName = None, json_out: JsonOut = None) -> None:
    """Folders of output-rs*.jsonl, as NeMo-Skills writes them."""
    _import("nbest.formats.nemo_skills:import_nemo_skills", files, run, {"kind": kind}, json_out)


@imports.command("lm-eval")
def import_lm_eval(
    files: Files,
    run: Into,
    kind: KindName = None,
    filter: Annotated[str | None, typer.Option(help="Which filter's lines to read; the first one by default.")] = None,
    metric: Annotated[str, typer.Option(help="The field that says whether an answer is right.")] = "exact_match",
    json_out: JsonOut = None,
) -> None:
    """samples_*.jsonl, as lm-evaluation-harness writes them with --log_samples."""
    options = {"kind": kind, "filter": filter, "metric": metric}
    _import("nbest.formats.lm_eval:import_lm_eval", files, run, options, json_out)


def _import(reader: str, files: list[Path], path: Path, options: dict[str, Any], json_out: str | None) -> None:
    from nbest import __version__
    from nbest.errors import ConfigError, DataError
    from nbest.formats.intake import ImportProgress
    from nbest.registry import find
    from nbest.storage.run import Run

    absent = [f"{file}: there is no such file or folder" for file in files if not file.exists()]
    if absent:
        raise ConfigError(absent)
    screen = console(json_out)
    info = {"nbest": __version__, "files": [str(file.absolute()) for file in files], "options": options}
    opened = Run.create(path, {"identity": {"imported": reader.rpartition(":")[2]}, "info": info})
    with progress("import", None, screen) as show:
        told = 0

        def on_progress(at: ImportProgress) -> None:
            nonlocal told
            show(at.trajectories - told, 0)
            told = at.trajectories

        report = find(reader)(opened, files, on_progress=on_progress, **options)
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
        listed = faults[:SHOWN_FAULTS]
        more = report.fault_count - len(listed)
        rest = [f"... and {more:,} more (all of the first 1,000 with --json)"] if more else []
        raise DataError("\n".join([f"{report.fault_count:,} faults; the good lines were imported:", *listed, *rest]))


def export(
    run: RunPath,
    out: Annotated[Path, typer.Option("--out", help="The file to write; .gz compresses pools.")],
    format: Annotated[str, typer.Option("--format", help="pools, csv or parquet.")] = "pools",
    tokens: Annotated[
        bool, typer.Option("--tokens", help="Keep token ids, confidences and certainties in pools.")
    ] = False,
    json_out: JsonOut = None,
) -> None:
    """Write a run as JSON lines of pools, or its verdicts and scores as a table."""
    from nbest.formats.exports import export_run
    from nbest.storage.run import Run

    lines = export_run(Run.open(run), out, format, tokens)
    console(json_out).print(f"{out}: {lines:,} {'problems' if format == 'pools' else 'rows'} written")
    write_json({"out": str(out), "format": format, "lines": lines}, json_out)


def benchmarks(json_out: JsonOut = None) -> None:
    """List the benchmarks that `sample --problems NAME` knows; their sources and prompts come with --json."""
    from dataclasses import asdict

    from nbest.problems.benchmarks import list_benchmarks, templates
    from nbest.problems.content_records import records_file

    known = list_benchmarks()
    prompts = {text: name for name, text in templates().items()}
    rows: list[list[str]] = []
    for b in known:
        place = ", ".join(b.files) if b.files else f"{b.config} {b.split}".strip()
        doubts = f"\nunconfirmed: {', '.join(b.unconfirmed)}" if b.unconfirmed else ""
        cells = [f"{b.name}\n{b.title}", f"{b.hub}\n{place}", str(b.problems or "-"), prompts.get(b.template, "-")]
        rows.append([*cells, b.rule, f"{b.licence or '-'}{doubts}"])
    heads = ["name", "hub id, split", "problems", "prompt", "right when", "licence"]
    screen = console(json_out)
    screen.print(table("", heads, rows))
    screen.print(f"content hashes are recorded in {records_file()}", markup=False)
    days = ("since", "until", "file")
    write_json(
        [asdict(b) | {key: None if getattr(b, key) is None else str(getattr(b, key)) for key in days} for b in known],
        json_out,
    )
