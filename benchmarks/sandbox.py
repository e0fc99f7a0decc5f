"""Measure how many short programs per second the sandboxes run, against one fresh isolated interpreter per program.

    python benchmarks/sandbox.py                 3 alternating rounds of 600 programs (baseline: 80)
    python benchmarks/sandbox.py --quick         one round of a fifth, some seconds
    python benchmarks/sandbox.py --json -        one object for machines

The programs read numbers from their standard input and print a result, as answers to programming problems do; every
output is compared with what it should be. Both sides run `--workers` programs at a time. The baseline isolates as the
sandbox does: `python -I -S`, for `namespaces` inside `bwrap` with the same file system and another user, applies the
same limits, Landlock rules and filter to itself before it runs the program. `bwrap alone` is a second baseline, which
leaves all that out. The workers of the sandboxes are warm: their start is outside the clock, and stated apart.
"""

import argparse
import asyncio
import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

from json_result import JsonResult, add_json_option

from nbest.sandbox.executions import Limits, Script
from nbest.sandbox.launching import FIRST_USER, FOLDER, find_python, list_namespaces, list_readable
from nbest.sandbox.opening import BACKENDS, open_sandbox, probe

SOURCES = (
    "import sys\nprint(sum(map(int, sys.stdin.read().split())))\n",
    "n, *values = map(int, input().split())\nprint(n + sum(values))\n",
    "import math\nfrom collections import Counter\ncounts = Counter(map(int, input().split()))\n"
    "print(sum(value * count for value, count in counts.items()))\n",
)
LIMITS = Limits(wall_seconds=30.0)
BARE = "bwrap alone"
CONFINED = """
import importlib.util, json, os, sys
settings = json.loads(sys.argv[1])
def load(name):
    spec = importlib.util.spec_from_file_location(name, settings["folder"] + "/" + name + ".py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
confinement, table = load("confinement"), load("system_calls")
ruleset = confinement.make_ruleset(settings["readable"])
confinement.prepare()
for name, values in confinement.list_limits(settings["limits"], 30, False):
    __import__("resource").setrlimit(name, values)
confinement.drop_privileges(settings["user"])
if ruleset is not None:
    confinement.restrict_files(ruleset)
confinement.restrict_calls(confinement.make_filter(table.system_calls(os.uname().machine), table.CONDITIONAL, 1))
exec(compile(settings["source"], "program.py", "exec"), {"__name__": "__main__"})
"""


def make_program(number: int) -> tuple[str, str, str]:
    """Return a source, its input and its right output. No two are alike, so that nothing can be remembered."""
    values = [number, *(number * step % 101 for step in range(1, 20))]
    source = f"# {number}\n{SOURCES[number % len(SOURCES)]}"
    return source, " ".join(map(str, values)) + "\n", f"{sum(values)}\n"


def make_command(backend: str, source: str) -> list[str]:
    """Return the command of a baseline: one fresh interpreter, isolated as the backend isolates or by `bwrap alone`."""
    python = [find_python(), "-I", "-S", "-c"]
    is_root = os.geteuid() == 0
    namespaces = [] if backend == "unprivileged" else list_namespaces({}, is_root)
    if backend == BARE:
        return [*namespaces, *python, source]
    settings = {
        "folder": str(FOLDER),
        "readable": list_readable({}),
        "limits": asdict(LIMITS),
        "source": source,
        "user": FIRST_USER if namespaces and is_root else None,
    }
    return [*namespaces, *python, CONFINED, json.dumps(settings)]


def run_fresh(backend: str, numbers: range, workers: int) -> float:
    """Return the seconds that fresh interpreters take for the programs."""

    def run(number: int) -> None:
        source, stdin, expected = make_program(number)
        result = subprocess.run(make_command(backend, source), input=stdin, capture_output=True, text=True)
        if result.stdout != expected:
            raise SystemExit(f"the baseline of {backend} failed: {result.stderr[-500:] or result.stdout!r}")

    started = time.perf_counter()
    with ThreadPoolExecutor(workers) as executor:
        list(executor.map(run, numbers))
    return time.perf_counter() - started


async def run_warm(sandbox: Any, numbers: range) -> float:
    """Return the seconds that a sandbox takes for the programs."""

    async def run(number: int) -> None:
        source, stdin, expected = make_program(number)
        outcome = await sandbox.run(Script(source, stdin), LIMITS)
        if outcome.stdout != expected:
            raise SystemExit(f"a program failed in the sandbox: {outcome}")

    started = time.perf_counter()
    await asyncio.gather(*map(run, numbers))
    return time.perf_counter() - started


async def measure(backend: str, count: int, fresh_count: int, rounds: int, workers: int) -> dict[str, Any]:
    """Return the programs per second of both sides, in alternating rounds."""
    warm: list[float] = []
    fresh: list[float] = []
    bare: list[float] = []
    async with open_sandbox(backend, workers=workers, packages=[]) as sandbox:
        started = time.perf_counter()
        await run_warm(sandbox, range(workers))
        start_seconds = time.perf_counter() - started
        for number in range(rounds):
            fresh.append(fresh_count / run_fresh(backend, range(fresh_count), workers))
            if backend == "namespaces":
                bare.append(fresh_count / run_fresh(BARE, range(fresh_count), workers))
            first = (number + 1) * count
            warm.append(count / await run_warm(sandbox, range(first, first + count)))
    row: dict[str, Any] = {
        "programs_per_second": {"baseline": statistics.median(fresh), "nbest": statistics.median(warm)},
        "rounds": {"baseline": fresh, "nbest": warm},
        "speedup": statistics.median(ours / theirs for ours, theirs in zip(warm, fresh, strict=True)),
        "start_seconds": start_seconds,
    }
    if bare:
        row["programs_per_second"][BARE] = statistics.median(bare)
        row["rounds"][BARE] = bare
        row["speedup_over_bwrap_alone"] = statistics.median(
            ours / theirs for ours, theirs in zip(warm, bare, strict=True)
        )
    return row


def print_table(result: dict[str, Any]) -> None:
    show: Callable[[float], str] = lambda value: f"{value:10.1f}"  # noqa: E731
    print(f"{'':14}{'fresh /s':>10}{'warm /s':>10}{'ratio':>10}{'start s':>10}")
    for backend, row in result["backends"].items():
        if "obstacle" in row:
            print(f"{backend:14}does not work here: {row['obstacle']}")
            continue
        rates = row["programs_per_second"]
        print(
            f"{backend:14}{show(rates['baseline'])}{show(rates['nbest'])}{show(row['speedup'])}{row['start_seconds']:10.2f}"
        )
        if BARE in rates:
            print(f"{'  ' + BARE:14}{show(rates[BARE])}{show(rates['nbest'])}{show(row['speedup_over_bwrap_alone'])}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one round of a fifth of the programs")
    parser.add_argument("--programs", type=int, default=600)
    parser.add_argument("--fresh", type=int, default=80, metavar="N", help="programs of the baseline per round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2, help="programs at a time, on both sides")
    add_json_option(parser)
    options = parser.parse_args()
    output = JsonResult(options.json_out)
    rounds = 1 if options.quick else options.rounds
    count, fresh_count = (
        (options.programs // 5, options.fresh // 5) if options.quick else (options.programs, options.fresh)
    )
    backends: dict[str, Any] = {}
    for backend in BACKENDS:
        obstacle = probe(backend).obstacle
        backends[backend] = (
            {"obstacle": obstacle}
            if obstacle
            else asyncio.run(measure(backend, count, fresh_count, rounds, options.workers))
        )
    result = {
        "name": "sandbox",
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}",
        "load": os.getloadavg()[0],
        "sizes": {"programs": count, "fresh": fresh_count, "rounds": rounds, "workers": options.workers},
        "baseline": "one fresh isolated interpreter per program",
        "ratios": {name: row["speedup"] for name, row in backends.items() if "speedup" in row},
        "backends": backends,
    }
    print_table(result)
    output.write(result)


if __name__ == "__main__":
    main()
