"""The `nbest` command. Parses, calls, prints; no logic lives here. Exit codes are those of `errors.py`."""

import os

# Read by OpenMP when torch is first imported: threads that wait by spinning slow a busy machine down a hundredfold.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import sys

from nbest.cli.signals import handle_signals

__all__ = ["main"]


def main() -> None:
    """Run a command. Signals are handled before anything large is imported."""
    words = sys.argv[1:]
    with handle_signals(words):
        from nbest.cli.app import run_command

        run_command(words)
