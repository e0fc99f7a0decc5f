"""Methods of another package: found by entry points, or named as `module:Class`; nothing in nbest knows them."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from nbest.config import PolicyConfig, ProblemsConfig, SampleConfig
from nbest.errors import ConfigError, UnavailableError
from nbest.measuring.compare import compare
from nbest.protocols import Sampler, Scorer, Selector, Verifier
from nbest.records import Completion, Pool, SamplingParams, Trajectory
from nbest.registry import (
    BuildContext,
    describe_methods,
    find_spec,
    load_scorer,
    load_selector,
    needed_scorers,
    specs,
    stored_name,
)
from nbest.sampling.policies import load_policy
from nbest.stages import sample, score, select, verify
from nbest.storage.run import Run
from nbest.verifying.equivalence import Equivalence

PLUGINS = Path(__file__).parent
ENTRY_POINTS = """
[nbest.selectors]
closest = nbest_plugin.closest:SPEC

[nbest.scorers]
steadiness = nbest_plugin.steadiness:SteadinessScorer

[nbest.samplers]
dice = nbest_plugin.dice:DiceSampler

[nbest.verifiers]
code = nbest_plugin.printed:PrintedVerifier
"""
N = 6


def install(folder: Path, entry_points: str) -> None:
    """Write the metadata that installing the package would write."""
    metadata = folder / "nbest_plugin-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: nbest-plugin\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(entry_points)


@pytest.fixture
def importable(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The package can be imported, and is not installed."""
    monkeypatch.syspath_prepend(str(PLUGINS))
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "nbest_plugin"]:
        del sys.modules[name]


@pytest.fixture
def installed(importable: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001
    site = tmp_path / "site"
    site.mkdir()
    install(site, ENTRY_POINTS)
    monkeypatch.syspath_prepend(str(site))


@pytest.fixture
def context() -> Iterator[BuildContext]:
    with Equivalence() as equivalence:
        yield BuildContext(equivalence)


def sample_rolls(path: Path) -> Run:
    config = SampleConfig(
        problems=ProblemsConfig(source=str(PLUGINS / "nbest_plugin" / "rolls.toml")),
        policy=PolicyConfig(type="dice", model="", engine={"sides": 5}),
        sampling=SamplingParams(capture=(-1,)),
        n=N,
    )
    sample(path, config)
    return Run.open(path)


@pytest.mark.usefixtures("installed")
def test_a_run_by_plug_ins_alone(tmp_path: Path) -> None:
    """Their engine samples their benchmark, their verifier grades it, their scorer reads states, their selector picks;
    its curve is the mean over all subsets of what it picks."""
    run = sample_rolls(tmp_path / "run")
    assert verify(run).ungraded == 0
    (scores,) = score(run, ["steadiness(scale=2)"])
    assert (scores.scorer, scores.scored) == ("steadiness(scale=2)", 3 * N)
    picks = select(run, ["closest(tokens=8)", "score:steadiness(scale=2)"])
    assert [report.selected for report in picks] == [3, 3]
    # The states of a low roll turn least.
    pools = {pool.problem_id: pool for pool in run.pools()}
    for selection in run.selections("score:steadiness(scale=2)"):
        texts = [trajectory.completion.text for trajectory in pools[selection.problem_id].trajectories]
        assert selection.index is not None
        assert texts[selection.index] == min(texts)
    with Equivalence() as equivalence:
        rows = compare(run, ["closest(tokens=8)", "score:steadiness(scale=2)"], equivalence=equivalence).rows
        selector = load_selector("closest(tokens=8)", BuildContext(equivalence))
    correct = {verdict.trajectory_id: bool(verdict.correct) for verdict in run.verdicts()}
    accuracies = {row.n: row.accuracy for row in rows if row.selector == "closest(tokens=8)"}
    assert accuracies == pytest.approx(
        {n: fmean(simulate(selector, pool, correct, n) for pool in pools.values()) for n in accuracies}
    )


def simulate(selector: Selector, pool: Pool, correct: dict[str, bool], n: int) -> float:
    """Return the accuracy over all subsets of `n`; those that are equally close are equal here, so nothing ties."""
    credits = []
    for members in combinations(pool.trajectories, n):
        selection = asyncio.run(selector.select(Pool(pool.problem_id, pool.prompt, members)))
        assert selection.index is not None
        credits.append(correct[members[selection.index].id])
    return fmean(credits)


@pytest.mark.usefixtures("installed")
def test_installed_methods_are_listed_and_loaded(context: BuildContext) -> None:
    assert find_spec("selector", "closest") in specs("selector")
    by_name = {row["name"]: row for row in describe_methods()}
    assert by_name["closest"]["options"] == {"tokens": 4}
    assert by_name["steadiness"] == {
        "name": "steadiness",
        "kind": "scorer",
        "role": "competitor",
        "needs": ["states"],
        "options": {"scale": 1.0},
        "source": "nowhere",
        "summary": "Scores how little the hidden states turn from one step to the next.",
    }
    assert isinstance(load_scorer("steadiness", context), Scorer)
    assert isinstance(load_policy(PolicyConfig(type="dice", engine={"sides": 3})), Sampler)
    assert isinstance(
        find_spec("verifier", "code").build(context, find_spec("verifier", "code").options(), ""), Verifier
    )
    assert needed_scorers("vote:steadiness(scale=3)") == ["steadiness(scale=3)"]


@pytest.mark.parametrize(
    ("load", "message"),
    [
        (lambda context: load_selector("closset", context), "Did you mean 'closest'"),
        (lambda context: load_selector("closest(token=4)", context), "it takes tokens. Did you mean 'tokens'"),
        (lambda context: load_selector("closest(tokens=0)", context), "tokens: Input should be greater than"),
        (lambda context: load_scorer("steadiness(scale=high)", context), "scale: Input should be a valid number"),
        (lambda _: load_policy(PolicyConfig(type="dcie")), "Did you mean 'dice'"),
        (lambda _: load_policy(PolicyConfig(type="dice", engine={"side": 3})), "it takes sides"),
    ],
)
@pytest.mark.usefixtures("installed")
def test_faults_are_named_as_for_built_in_methods(context: BuildContext, load: Any, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(context)
    assert message in str(caught.value)


@pytest.mark.usefixtures("importable")
async def test_a_class_is_named_without_installation(context: BuildContext) -> None:
    name = "nbest_plugin.closest:SPEC(tokens=3)"
    assert "closest" not in [spec.name for spec in specs("selector")]
    selector = load_selector(name, context)
    trajectories = tuple(
        Trajectory(f"p#{index}", "p", index, index, Completion("", tokens=[0] * length))  # type: ignore[arg-type]
        for index, length in enumerate((1, 3, 9))
    )
    assert (await selector.select(Pool("p", "?", trajectories))).index == 1
    assert stored_name("selector", name) == name
    scorer = "nbest_plugin.steadiness:SteadinessScorer(scale=2)"
    assert isinstance(load_scorer(scorer, context), Scorer)
    assert needed_scorers(f"borda(power=2):{scorer}") == [scorer]


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("nbest_plugin.closest:Missing", ConfigError, "module 'nbest_plugin.closest' has no 'Missing'"),
        (
            "nbest_plugin.other:SPEC",
            ConfigError,
            "nor a class that can be imported (No module named 'nbest_plugin.other')",
        ),
        ("nbest_plugin.dice:DiceSampler(side=2)", ConfigError, "unknown option 'side'; it takes sides"),
        ("nbest_plugin.closest:build", ConfigError, "a class or a nbest.specs.Spec is needed, got function"),
        (
            "nbest_plugin.broken:Thing",
            UnavailableError,
            "cannot be loaded: No module named 'a_module_that_is_not_installed'",
        ),
        ("votes:self-certainty", ConfigError, "Did you mean 'vote'"),
    ],
)
@pytest.mark.usefixtures("importable")
def test_what_is_no_method_says_why(context: BuildContext, name: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        load_selector(name, context)
    assert message in str(caught.value)


@pytest.mark.usefixtures("importable")
def test_a_spec_of_another_kind_is_refused(context: BuildContext) -> None:
    with pytest.raises(ConfigError, match="its Spec describes a selector"):
        load_scorer("nbest_plugin.closest:SPEC", context)


@pytest.mark.parametrize(
    ("entry_points", "error", "message"),
    [
        ("[nbest.selectors]\nmajority = nbest_plugin.closest:SPEC", ConfigError, "is that of a built-in selector"),
        ("[nbest.selectors]\nlost = nbest_plugin.lost:SPEC", UnavailableError, "'nbest_plugin.lost:SPEC'"),
    ],
)
@pytest.mark.usefixtures("importable")
def test_a_faulty_plug_in_is_named_and_harms_no_other_method(
    context: BuildContext,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    entry_points: str,
    error: type[Exception],
    message: str,
) -> None:
    install(tmp_path, entry_points)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(error) as caught:
        specs("selector")
    assert message in str(caught.value)
    assert isinstance(load_selector("first", context), Selector)


def test_the_command_lists_installed_methods(tmp_path: Path) -> None:
    install(tmp_path, ENTRY_POINTS)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(PLUGINS)])}
    command = [sys.executable, "-m", "nbest", "methods", "--json", "-"]
    output = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    names = {(row["kind"], row["name"]) for row in json.loads(output)}
    assert {("selector", "closest"), ("scorer", "steadiness"), ("sampler", "dice"), ("verifier", "code")} <= names
