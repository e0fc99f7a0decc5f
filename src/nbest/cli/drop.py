"""`nbest drop`: remove verdicts, scores or selections from a run."""

from shlex import quote
from typing import Annotated

import typer

from nbest.cli.terminal import JsonOut, RunPath, console, write_json
from nbest.plurals import show_count


def drop(
    run: RunPath,
    names: Annotated[
        list[str],
        typer.Argument(metavar="NAME...", help="What to remove: scores/NAME, selections/NAME or verdicts."),
    ],
    json_out: JsonOut = None,
) -> None:
    """Remove verdicts, scores or selections from a run; the trajectories stay."""
    from nbest.stages.dropping import drop as drop_results

    screen = console(json_out)
    dropped = drop_results(run, names)
    for entry in dropped:
        origin = f" of {entry.origin}" if entry.origin else ""
        rows = "an unknown number of rows" if entry.rows is None else show_count(entry.rows, "row")
        line = f"{run}: removed {entry.name}: {rows}{origin}, {show_count(entry.size_bytes, 'byte')}"
        screen.print(line)
        if entry.dependents:
            words = " ".join(map(quote, entry.dependents))
            screen.print(
                f"note: selections made from them stay. To remove these, too: nbest drop {quote(str(run))} {words}",
                soft_wrap=True,
            )
    write_json({"run": str(run), "dropped": [entry.to_json() for entry in dropped]}, json_out)
