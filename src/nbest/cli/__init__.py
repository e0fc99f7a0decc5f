"""The `nbest` command. Parses, calls, prints; no logic lives here. Exit codes are those of `errors.py`."""

import os

# Read by OpenMP when torch is first imported: threads that wait by spinning slow a busy machine down a hundredfold.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

from nbest.cli.app import main

__all__ = ["main"]
