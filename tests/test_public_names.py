"""`import nbest`: a short list of names, imported when they are first used, fast and without an engine."""

import subprocess
import sys

import nbest

NAMES = [
    "BestOfN",
    "BuildContext",
    "Completion",
    "ConfigError",
    "Event",
    "Message",
    "NbestError",
    "Pool",
    "Problem",
    "Result",
    "Run",
    "Sampler",
    "SamplingParams",
    "Score",
    "Scored",
    "Scorer",
    "Selected",
    "Selection",
    "Selector",
    "Trajectory",
    "TrajectoryFinished",
    "Usage",
    "Verdict",
    "Verifier",
    "compare",
    "load_policy",
    "load_scorer",
    "load_selector",
]
MOST_SECONDS = 0.1
HEAVY = ("torch", "transformers", "pydantic", "pyarrow", "duckdb", "numpy", "altair", "math_verify")


def run_python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_the_public_names_are_these() -> None:
    assert nbest.__all__ == NAMES
    assert set(NAMES) <= set(dir(nbest))


def test_every_public_name_can_be_imported() -> None:
    code = f"import nbest; print([name for name in {NAMES!r} if getattr(nbest, name) is None])"
    assert run_python(code) == "[]"
    assert run_python("from nbest import *; print(BestOfN.__name__, Pool.__name__)") == "BestOfN Pool"


def test_an_unknown_name_is_an_attribute_error() -> None:
    code = "import nbest\ntry: nbest.Best\nexcept AttributeError as error: print(error)"
    assert run_python(code) == "module 'nbest' has no attribute 'Best'"


def test_the_version_is_that_of_the_package() -> None:
    from importlib.metadata import version

    assert nbest.__version__ == version("nbest")


def test_importing_takes_less_than_100_ms_and_loads_no_engine() -> None:
    code = (
        "import sys, time\n"
        "start = time.perf_counter()\n"
        "import nbest\n"
        f"print(time.perf_counter() - start, *({HEAVY!r} & sys.modules.keys()))"
    ).replace(f"{HEAVY!r} &", f"set({HEAVY!r}) &")
    outputs = [run_python(code).split() for _ in range(5)]
    assert all(len(output) == 1 for output in outputs), outputs
    assert min(float(output[0]) for output in outputs) < MOST_SECONDS


def test_records_and_construction_load_no_torch() -> None:
    code = (
        "import sys, nbest\n"
        "nbest.Message('user', 'x'), nbest.SamplingParams()\n"
        "nbest.BestOfN('bundled:arithmetic', 'vote:trajselector-fused').close()\n"
        "print(sorted({'torch', 'transformers'} & sys.modules.keys()))"
    )
    assert run_python(code) == "[]"
