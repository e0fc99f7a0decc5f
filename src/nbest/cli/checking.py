"""`nbest check`: verify every file of a run."""

from nbest.cli.progress import show_progress
from nbest.cli.terminal import JsonOut, RunPath, console, write_json
from nbest.plurals import agree, show_count, show_part


def check(run: RunPath, json_out: JsonOut = None) -> None:
    """Verify every file of a run, and say for each fault what to do. Nothing is changed."""
    from nbest.stages.checking import check as check_run

    with show_progress() as on_progress:
        report = check_run(run, on_progress=on_progress)
    screen = console(json_out)
    for note in report.notes:
        screen.print(f"note: {note}")
    sound = report.files - len(report.faults)
    files = f"{show_part(sound, report.files, 'file')} {agree(sound, 'is')}"
    screen.print(f"{run}: {files} sound ({show_count(report.size_bytes, 'byte')} read)")
    write_json(report.to_json(), json_out)
    report.raise_faults()
