"""`nbest demo` on the bundled policy, small; and states filled afterwards for text that came without tokens."""

import json
import re
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from nbest.storage.run import Run

HAS_JUDGE = (Path(str(resources.files("nbest"))) / "bundled" / "genselect" / "config.json").is_file()
DEMO = ("--count", 6, "--n", 4, "--training", 40)
JUDGED = "stored:genselect-vote@4"


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo") / "demo"


def test_the_demo_ends_with_a_table_a_curve_and_a_page(nbest: Callable, out: Path) -> None:
    result = nbest("demo", "--out", out, *DEMO, "--no-judge", "--json", "-")
    assert result.code == 0
    rows = {(row["selector"], row["n"]): row for row in result.json["rows"]}
    assert rows["random", 4]["accuracy"] <= rows["oracle", 4]["accuracy"]
    assert rows["majority", 4]["sampled_tokens"] > 0
    for part in ("Accuracy in %, 6 problems", "report.html", "accuracy.png", "nbest show"):
        assert part in result.err
    page = (out / "report" / "report.html").read_text(encoding="utf-8")
    assert "<svg" in page
    assert "bundled:arithmetic" in page
    assert (out / "report" / "accuracy.png").read_bytes().startswith(b"\x89PNG")
    run = Run.open(out)
    assert len(run.done_trajectories()) == len(run.done_states()) == len(run.done_verdicts()) == 24
    assert run.scorers() == ["mean-logprob", "trained-here", "trajselector", "trajselector-fused"]
    assert all(len(run.done_scores(name)) == 24 for name in run.scorers())
    assert "% of held-out pairs" in " ".join(result.err.split())
    assert {("vote:trajselector", 4), ("score:trained-here", 4)} <= set(rows)
    assert run.selectors() == ["majority", "vote:trajselector-fused"]


def test_the_demo_run_again_draws_nothing(nbest: Callable, out: Path) -> None:
    result = nbest("demo", "--out", out, *DEMO, "--no-judge")
    assert result.code == 0
    assert "0 trajectories drawn" in result.out


@pytest.mark.skipif(not HAS_JUDGE, reason="bundled:genselect is not in this package")
def test_the_bundled_selector_judges_and_stands_in_the_comparison(nbest: Callable, out: Path) -> None:
    result = nbest("demo", "--out", out, *DEMO, "--json", "-")
    assert result.code == 0
    message = " ".join(result.err.split())
    assert "A model (bundled:genselect) reads" in message
    assert re.search(
        r"[\d,]+ calls, [\d,]+ tokens per selection; \d+ judgements failed, \d+ selections abstained", message
    )
    rows = {(row["selector"], row["n"]): row for row in result.json["rows"]}
    assert 0 <= rows[JUDGED, 4]["accuracy"] <= rows["oracle", 4]["accuracy"]
    assert JUDGED in message
    assert JUDGED in (out / "report" / "report.html").read_text(encoding="utf-8")
    run = Run.open(out)
    assert len(run.done_selections("genselect-vote@4")) == 6
    again = nbest("demo", "--out", out, *DEMO, "--json", "-")
    assert "A model (bundled:genselect) reads" not in again.err
    accuracies = {(row["selector"], row["n"]): row["accuracy"] for row in again.json["rows"]}
    assert accuracies[JUDGED, 4] == rows[JUDGED, 4]["accuracy"]


def test_states_of_imported_text_are_those_captured(nbest: Callable, out: Path, tmp_path: Path) -> None:
    """Export without token ids, import, encode: the same steps and, within rounding, the same states."""
    text, run = tmp_path / "text.jsonl", tmp_path / "run"
    assert nbest("export", out, "--out", text).code == 0
    assert "tokens" not in json.loads(text.read_text().splitlines()[0])["samples"][0].get("nbest", {})
    assert nbest("import", "pools", run, text).code == 0
    assert "its manifest names no policy" in nbest("encode", run).err
    layers = [word for layer in (2, 3, 4, 5) for word in ("--layer", layer)]
    result = nbest("encode", run, "--policy", "bundled:arithmetic", *layers, "--json", "-")
    assert result.json["with_states"] == 24
    source, encoded = Run.open(out), Run.open(run)
    ids = sorted(source.done_trajectories())
    same = 0
    for captured, filled in zip(source.states(ids), encoded.states(ids), strict=True):
        assert captured.layers == filled.layers
        # Sampled ids need not be those the tokenizer would choose for the same text; where they are, so are the states.
        if captured.steps == filled.steps:
            same += 1
            np.testing.assert_allclose(filled.values, captured.values, rtol=2e-2, atol=5e-2)
    assert same >= 18
