"""In memory and over a run folder, every method picks the same trajectory of the same question on the same seed."""

from pathlib import Path

import pytest

import nbest
from nbest import registry
from nbest.config import GenerativeConfig, PolicyConfig, SampleConfig, load_config
from nbest.errors import ConfigError
from nbest.named_configs import find_config
from nbest.records import Problem
from nbest.specs import Spec
from nbest.stages import sample, score, select, verify
from nbest.storage.run import Run

N, COUNT = 8, 4
JUDGE = "bundled:genselect"
REWARD_FAMILY = "skywork-reward"
READ_SCORER = "trajselector-fused"
"""What a selector that reads scores is tried with: its scores are never negative, as the weights of a vote must be."""
MIXED_SCORERS = ("mean-logprob", READ_SCORER)

SCORERS = registry.specs("scorer")
SELECTORS = [spec for spec in registry.specs("selector") if spec.role != "bound" and "sandbox" not in spec.needs]
"""Those that run programs are tried on a code problem, in `test_code.py`."""


def name_of(spec: Spec) -> str:
    return spec.name


def sample_problems(path: Path, split: str, count: int) -> Run:
    base = load_config(SampleConfig, find_config("arithmetic", "sample"))
    problems = base.problems.model_copy(update={"count": count, "split": split})
    sample(path, base.model_copy(update={"n": N, "problems": problems}))
    return Run.open(path)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return sample_problems(tmp_path_factory.mktemp("methods") / "run", "test", COUNT)


@pytest.fixture(scope="module")
def problems(run: Run) -> list[Problem]:
    return list(run.problems())


@pytest.fixture(scope="module")
def reward_folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tiny reward model with random weights, in a folder that is named after its family."""
    from tests.scoring.reward_fixtures import create_model, create_tokenizer

    folder = tmp_path_factory.mktemp("reward") / REWARD_FAMILY
    create_model(REWARD_FAMILY).save_pretrained(folder)
    create_tokenizer().save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def mixture(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A combined selector, fitted on other problems."""
    from nbest.measuring.combining import fit_combined
    from nbest.verifying.equivalence import Equivalence

    folder = tmp_path_factory.mktemp("mixture")
    validation = sample_problems(folder / "run", "validation", 60)
    verify(validation)
    score(validation, MIXED_SCORERS)
    with Equivalence() as equivalence:
        model, _ = fit_combined(validation, MIXED_SCORERS, equivalence)
    model.save(folder / "combined.json")
    return str(folder / "combined.json")


def check_picks(run: Run, problems: list[Problem], selector: str, judge: str | None, model: str | None = None) -> None:
    """Select by both ways and compare. Where the picks are two trajectories of one text, the last bits of a state
    decided between them, which another batch rounds differently."""
    asks = "judge" in registry.find_spec("selector", selector).needs
    (report,) = select(run, [selector], judge=judge_config(judge) if asks else None)
    stored = {selection.problem_id: selection for selection in run.selections(report.selector)}
    with nbest.BestOfN("bundled:arithmetic", selector, n=N, judge=judge, scorer_model=model) as bon:
        results = bon.ask_many(problems)
    assert len(results) == len(stored) == COUNT
    for result, pool in zip(results, run.pools(), strict=True):
        texts = [trajectory.completion.text for trajectory in result.pool.trajectories]
        assert texts == [trajectory.completion.text for trajectory in pool.trajectories]
        index, other = result.index, stored[pool.problem_id].index
        assert index == other or (index is not None and other is not None and texts[index] == texts[other])


def judge_config(judge: str | None) -> GenerativeConfig | None:
    return None if judge is None else GenerativeConfig(policy=PolicyConfig(model=judge))


@pytest.mark.parametrize("spec", SCORERS, ids=name_of)
def test_every_scorer_picks_the_same_in_memory_and_over_a_run(
    spec: Spec, run: Run, problems: list[Problem], reward_folder: str
) -> None:
    judge = JUDGE if "judge" in spec.needs else None
    model = None
    if "model" in spec.needs:
        # Every name of a step scorer takes any trained one; a reward model reads text.
        model = "bundled:trajselector" if "states" in spec.needs else reward_folder
    name = f"{spec.name}(family={REWARD_FAMILY})" if spec.name == "reward" else spec.name
    score(run, [name], scorer_model=model, judge=judge_config(judge))
    check_picks(run, problems, f"score:{name}", judge, model)


@pytest.mark.parametrize("spec", SELECTORS, ids=name_of)
def test_every_selector_picks_the_same_in_memory_and_over_a_run(
    spec: Spec, run: Run, problems: list[Problem], mixture: str
) -> None:
    judge = JUDGE if "judge" in spec.needs else None
    selector = mixture if spec.name == "combined" else spec.name
    if spec.reads_scores:
        selector = f"{spec.name}:{READ_SCORER}"
    for scorer in registry.needed_scorers(selector):
        score(run, [scorer])
    check_picks(run, problems, selector, judge)


def test_options_of_a_method_reach_it_in_memory(problems: list[Problem]) -> None:
    with nbest.BestOfN("bundled:arithmetic", "score:deepconf-bottom(window=4, share=0.5)", n=N) as bon:
        (result,) = bon.ask_many(problems[:1])
    (name,) = result.scores
    assert name == "deepconf-bottom(share=0.5, window=4)"
    whole = nbest.BestOfN("bundled:arithmetic", "score:deepconf-bottom", n=N)
    with whole:
        assert whole.ask(problems[0]).scores["deepconf-bottom"] != result.scores[name]


def test_scores_in_memory_are_those_of_the_run(run: Run, problems: list[Problem]) -> None:
    score(run, [READ_SCORER])
    stored = {entry.trajectory_id: entry for entry in run.scores(READ_SCORER)}
    with nbest.BestOfN("bundled:arithmetic", f"score:{READ_SCORER}", n=N) as bon:
        for result in bon.ask_many(problems):
            for entry in result.scores[READ_SCORER]:
                # Another batch rounds the last bits of a state differently.
                assert entry.value == pytest.approx(stored[entry.trajectory_id].value, abs=1e-3)
                assert entry.steps == pytest.approx(stored[entry.trajectory_id].steps, abs=1e-3)


def test_a_run_of_the_command_line_can_be_asked(run: Run, problems: list[Problem]) -> None:
    before = len(run.done_trajectories())
    with nbest.BestOfN("bundled:arithmetic", f"vote:{READ_SCORER}", n=N, run=run.path) as bon:
        results = bon.ask_many(problems)
        with pytest.raises(ConfigError, match="was sampled from problems of its own"):
            bon.ask("2 + 2?")
    assert len(run.done_trajectories()) == before
    assert [result.pool.problem_id for result in results] == [problem.id for problem in problems]
    assert results[0].usage.seconds < 5


def test_the_bound_is_no_selector() -> None:
    with pytest.raises(ConfigError, match="sees the verdicts"):
        nbest.BestOfN("bundled:arithmetic", "oracle")
