"""The `bestofn` command. Parses, calls, prints; no logic lives here. Exit codes are those of `errors.py`."""

from bestofn.cli.app import main

__all__ = ["main"]
