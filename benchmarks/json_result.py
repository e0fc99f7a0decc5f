"""The option `--json` of the benchmarks: the result as one JSON object, alone on standard output or in a file."""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from nbest.storage.outputs import write_file


def add_json_option(parser: argparse.ArgumentParser) -> None:
    """Add `--json FILE`, whose value is `options.json_out`: the argument of `JsonResult`."""
    parser.add_argument(
        "--json",
        dest="json_out",
        metavar="FILE",
        help="write the result as one JSON object; with - to standard output, and tables to standard error",
    )


class JsonResult:
    """Where a benchmark writes its result: the file at `path`, standard output (`-`), or nowhere (None).

    Make it before anything is printed. With `-`, whatever this process and its children print from then on goes to
    standard error, so that standard output holds the JSON alone.
    """

    def __init__(self, path: str | None):
        self._path = path
        self._stdout = -1
        if path == "-":
            sys.stdout.flush()
            # The descriptors, not `sys.stdout`: child processes and libraries in C print as well.
            self._stdout = os.dup(1)
            os.dup2(2, 1)

    def write(self, result: dict[str, Any]) -> None:
        """Write the result, as the last step of a benchmark."""
        if self._path == "-":
            with open(self._stdout, "w", encoding="utf-8") as file:
                file.write(json.dumps(result) + "\n")
        elif self._path is not None:
            write_file(Path(self._path), json.dumps(result, indent=1) + "\n")
