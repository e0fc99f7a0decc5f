"""`nbest audit`: our verdicts beside labels that somebody else published."""

from pathlib import Path
from typing import Annotated

import typer

from nbest.cli.code_verdicts import CodeModeOption
from nbest.cli.progress import show_progress
from nbest.cli.stages import AllowUnsandboxed, SandboxBackend
from nbest.cli.terminal import JsonOut, RunPath, console, write_json
from nbest.plurals import show_count, show_part

_WORDS = {True: "right", False: "wrong", None: "ungraded"}


def audit(
    run: RunPath,
    labels: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="A pool file whose samples have `correct`. May be repeated.",
            show_default="the imported verdicts of the run",
        ),
    ] = None,
    show: Annotated[int, typer.Option(min=0, metavar="N", help="How many differences of each cause are shown.")] = 3,
    sandbox: SandboxBackend = None,
    allow_unsandboxed: AllowUnsandboxed = False,
    code_mode: CodeModeOption = None,
    json_out: JsonOut = None,
) -> None:
    """Compare our verdicts with published labels, and sort the differences by cause. The run stays as it is."""
    from nbest.stages.auditing import audit as audit_run
    from nbest.stages.sandboxes import SandboxSettings
    from nbest.verifying.code.settings import CodeSettings

    with show_progress() as on_progress:
        report = audit_run(
            run,
            labels or (),
            sandbox=SandboxSettings(sandbox or "auto", allow_unsandboxed),
            code=None if code_mode is None else CodeSettings(code_mode.value),
            on_progress=on_progress,
        )
    screen = console(json_out)
    share = 100 * report.agreed / report.labelled if report.labelled else 0.0
    screen.print(
        f"{run}: {show_part(report.labelled, report.trajectories, 'trajectory')} labelled; our verdict is the label of "
        f"{report.agreed:,} ({share:.2f} %)"
    )
    for cause, count in report.causes.items():
        screen.print(f"{show_count(count, 'difference')}: {cause}")
        for difference in [each for each in report.differences if each.cause == cause][:show]:
            words = f"labelled {_WORDS[difference.label]}, our verdict {_WORDS[difference.verdict]}"
            pair = f"; answer {difference.answer!r}, target {difference.target!r}"
            answer = "" if difference.answer is None else pair
            note = f"; {difference.note}" if difference.note else ""
            screen.print(f"  {difference.trajectory_id}: {words}{answer}{note}")
    write_json(report.to_json(), json_out)
