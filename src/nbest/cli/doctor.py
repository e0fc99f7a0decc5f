"""`nbest doctor`: which isolation for programs this machine offers, proven by attacks."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from nbest.cli.progress import show_progress
from nbest.cli.terminal import JsonOut, Screen, console, table, write_json
from nbest.plurals import show_part
from nbest.progress import count_progress, report_activity

if TYPE_CHECKING:
    from nbest.sandbox.diagnosis import BackendReport
    from nbest.sandbox.proving import Proof


def doctor(json_out: JsonOut = None) -> None:
    """Say how programs are isolated on this machine, and prove it by attacking each isolation that works.

    The exit code is 0 if the one that nbest takes by itself holds everything.
    """
    from nbest.sandbox.diagnosis import diagnose

    with show_progress(has_last_lines=False) as on_progress:
        report_activity("starting sandboxes", on_progress)
        on_done = None

        def on_proof(total: int) -> None:
            nonlocal on_done
            on_done = on_done or count_progress("attacks", total, on_progress)
            on_done(1, 0)

        diagnosis = asyncio.run(diagnose(on_proof))
    screen = console(json_out)
    chosen = diagnosis.chosen
    screen.print(f"programs run in: {'nothing, because no isolation works here' if chosen is None else chosen.backend}")
    for report in diagnosis.backends:
        _print_summary(screen, report)
    screen.print(f"test data: {_count(diagnosis.data)}")
    for report in diagnosis.backends:
        if report.proofs:
            screen.print()
            _print_proofs(screen, report.backend, report.proofs)
    screen.print()
    _print_proofs(screen, "test data", diagnosis.data)
    write_json(diagnosis.to_json(), json_out)
    diagnosis.raise_faults()


def _print_summary(screen: Screen, report: "BackendReport") -> None:
    if not report.works:
        screen.print(f"{report.backend}: does not work: {report.obstacle}")
        if report.remedy:
            screen.print(f"  what to do: {report.remedy}", soft_wrap=True)
        return
    layers = "" if report.isolation is None else f" ({', '.join(report.isolation.layers)})"
    screen.print(f"{report.backend}{layers}: {_count(report.proofs)}")


def _count(proofs: "Sequence[Proof]") -> str:
    names = [proof.name for proof in proofs if not proof.is_held]
    faults = f"; NOT HELD: {', '.join(names)}" if names else ""
    return f"{show_part(len(proofs) - len(names), len(proofs), 'attack')} held{faults}"


def _print_proofs(screen: Screen, head: str, proofs: "Sequence[Proof]") -> None:
    rows = [[proof.name, proof.tries, proof.observed, "yes" if proof.is_held else "NO"] for proof in proofs]
    screen.print(table("", [head, "what it tries", "what stopped it", "held"], rows, is_text=True))
