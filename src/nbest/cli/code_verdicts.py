"""The options and lines of `nbest verify` that are about programs."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nbest.cli.terminal import Screen
from nbest.plurals import show_count

if TYPE_CHECKING:
    from nbest.stages import VerifyReport

_LISTED_REASONS = 5
_LISTED_DIFFERENCES = 20


class CodeModeChoice(StrEnum):
    """The values of `--code-mode`."""

    TRUE = "true"
    UPSTREAM = "upstream"
    BOTH = "both"


CodeModeOption = Annotated[
    CodeModeChoice | None,
    typer.Option(
        "--code-mode",
        help="How programs that read stdin, and LeetCode's, are run: as programs of their own (true), as "
        "LiveCodeBench's own runner does (upstream), or both, with the verdicts of true and a list of what upstream "
        "grades otherwise.",
        show_default="true",
    ),
]


def print_code(screen: Screen, report: "VerifyReport") -> None:
    """Print what isolated the programs, why some were not graded, and what upstream's runner grades otherwise."""
    if report.code is not None:
        isolation: dict[str, Any] = report.code.get("isolation") or {}
        packages = ", ".join(f"{name} {version}" for name, version in isolation.get("packages", {}).items())
        where = f"in the sandbox {isolation.get('backend')!r}" if isolation.get("is_isolated") else "WITHOUT isolation"
        screen.print(f"programs ran {where} in mode {report.code.get('mode')!r}, with {packages}")
    for reason, count in list(report.reasons.items())[:_LISTED_REASONS]:
        screen.print(f"not graded: {count:,} {reason}")
    if (rest := len(report.reasons) - _LISTED_REASONS) > 0:
        screen.print(f"not graded: {show_count(rest, 'more reason')}; --json lists all")
    if report.mode_differences is not None:
        count = len(report.mode_differences)
        screen.print(f"LiveCodeBench's own runner grades {show_count(count, 'trajectory')} otherwise")
        for difference in report.mode_differences[:_LISTED_DIFFERENCES]:
            screen.print(f"  {difference['trajectory_id']}: {difference['correct']}: {difference['note']}")
        if count > _LISTED_DIFFERENCES:
            screen.print(f"  ... and {count - _LISTED_DIFFERENCES:,} more; --json lists all")
