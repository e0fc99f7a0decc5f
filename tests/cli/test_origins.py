"""Scores and selections of two origins are never mixed under one name; what failed is made again; drop removes."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from nbest.records import Score, Selection, Verdict
from nbest.sampling.scripted import ScriptedSampler
from nbest.serving.background import serve
from nbest.serving.endpoint import create_app
from nbest.storage.claims import Claims
from nbest.storage.run import Run
from tests.training.scorer_runs import make_run

JUDGE = """
thinking = "keep"
repeats = 2
seed = {seed}
deadline_seconds = {deadline}
[policy]
type = "scripted"
script = ["{reply}"]
"""
ENDPOINT = """
thinking = "keep"
repeats = 2
[policy]
type = "openai"
model = "judge"
[policy.endpoint]
base_url = "{url}"
retries = 0
"""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two trained step scorers, A and B."""
    from nbest.config import parse_config
    from nbest.training.scorer import train_scorer
    from nbest.training.settings import ScorerTrainingConfig

    folder = tmp_path_factory.mktemp("models")
    run = make_run(folder / "run", problems=20).path
    folders: dict[str, Path] = {}
    for seed, name in enumerate("AB"):
        values = {
            "out": str(folder / f"training{name}"),
            "epochs": 1,
            "batch_trajectories": 8,
            "accumulation": 1,
            "evaluations": 1,
            "seed": seed,
            "data": {"runs": [str(run)], "validation_share": 0.3},
            "model": {"type": "step-mlp", "hidden_size": 4},
        }
        trained = train_scorer(parse_config(ScorerTrainingConfig, values, "test"))
        folders[name] = Path(shutil.copytree(trained.folder, folder / name))
    return folders


@pytest.fixture
def run(nbest: Callable, pools_file: Path, tmp_path: Path) -> Path:
    path = tmp_path / "run"
    assert nbest("import", "pools", path, pools_file).code == 0
    return path


def write_judge(path: Path, reply: str = "Judgment: 0", seed: int = 0, deadline: int = 60) -> Path:
    path.write_text(JUDGE.format(reply=reply, seed=seed, deadline=deadline))
    return path


def read_files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_scores_of_another_model_are_refused_with_both_named(
    nbest: Callable, models: dict[str, Path], tmp_path: Path
) -> None:
    run = make_run(tmp_path / "run", problems=3).path
    assert nbest("score", run, "-s", "step-mlp", "--scorer-model", models["A"], "--as", "mine").code == 0
    before = read_files(run)
    refused = nbest("score", run, "-s", "step-mlp", "--scorer-model", models["B"], "--as", "mine")
    assert refused.code == 2
    for part in (
        str(models["A"]),
        str(models["B"]),
        "model.content_hash",
        "--as NAME",
        f"nbest drop {run} scores/mine",
    ):
        assert part in refused.err
    assert read_files(run) == before
    apart = nbest("score", run, "-s", "step-mlp", "--scorer-model", models["B"], "--as", "other", "--json", "-")
    assert apart.json["scores"][0]["scored"] == 24
    assert Run.open(run).scorers() == ["mine", "other"]


def test_the_same_weights_by_another_path_and_name_are_the_same(
    nbest: Callable, models: dict[str, Path], tmp_path: Path
) -> None:
    run = make_run(tmp_path / "run", problems=3).path
    assert nbest("score", run, "-s", "step-mlp", "--scorer-model", models["A"], "--as", "mine").code == 0
    copy = shutil.copytree(models["A"], tmp_path / "copy")
    assert nbest("score", run, "-s", "mine", "--scorer-model", copy).code == 0
    # Another way of making one value of the step scores is another score.
    other = nbest("score", run, "-s", "step-mlp(aggregation=min)", "--scorer-model", copy, "--as", "mine")
    assert other.code == 2
    assert 'options.aggregation: the run has (the default), this command "min"' in other.err


def test_all_scorers_are_checked_before_the_first_one_scores(nbest: Callable, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", problems=3).path
    assert nbest("score", run, "-s", "mean-logprob", "--as", "perplexity").code == 0
    before = read_files(run)
    refused = nbest("score", run, "-s", "min-logprob", "-s", "perplexity")
    assert refused.code == 2
    assert "'mean-logprob'" in refused.err
    assert "'perplexity'" in refused.err
    assert read_files(run) == before


def test_an_origin_names_method_options_model_versions_and_judge(
    nbest: Callable, models: dict[str, Path], run: Path, tmp_path: Path
) -> None:
    scored = make_run(tmp_path / "scored", problems=3).path
    assert nbest("score", scored, "-s", "step-mlp", "--scorer-model", models["A"]).code == 0
    origin = json.loads((scored / "scores" / "step-mlp" / "origin.json").read_text())
    assert len(origin["identity"]["model"]["content_hash"]) == 64
    assert origin["info"]["model"] == str(models["A"])
    assert {"nbest", "torch", "transformers"} <= set(origin["info"]["versions"])
    judge = write_judge(tmp_path / "judge.toml", seed=7)
    assert nbest("select", run, "-s", "genselect-vote(repeats=3)", "--judge-config", judge).code == 0
    identity = json.loads((run / "selections" / "genselect-vote(repeats=3)" / "origin.json").read_text())["identity"]
    assert identity["method"] == "genselect-vote"
    assert identity["options"] == {"repeats": 3}
    assert (identity["judge"]["seed"], identity["judge"]["repeats"]) == (7, 2)
    assert "7" in nbest("info", run).out.split("selections/genselect-vote(repeats=3): ")[1].splitlines()[0]


@pytest.mark.parametrize(
    ("changes", "field"), [({"reply": "Judgment: 1"}, "judge.model.script"), ({"seed": 5}, "judge.seed")]
)
def test_selections_of_another_judge_are_refused(
    nbest: Callable, run: Path, tmp_path: Path, changes: dict[str, object], field: str
) -> None:
    first, second = write_judge(tmp_path / "a.toml"), write_judge(tmp_path / "b.toml", **changes)  # type: ignore[arg-type]
    words = ("select", run, "-s", "genselect-vote", "--judge-config")
    assert nbest(*words, first).code == 0
    before = read_files(run)
    refused = nbest(*words, second)
    assert refused.code == 2
    assert f"{field}: the run has" in refused.err
    assert read_files(run) == before
    apart = nbest(*words, second, "--as", "second", "--json", "-")
    assert apart.json["selections"][0]["judgements"]["calls"] > 0
    # How long a judge may take changes no judgement.
    patient = nbest(*words, write_judge(tmp_path / "c.toml", deadline=600), "--json", "-")
    assert patient.json["selections"][0]["judgements"]["calls"] == 0


def test_another_seed_method_or_score_is_another_origin(nbest: Callable, run: Path) -> None:
    assert nbest("select", run, "-s", "random").code == 0
    assert "seed: the run has 0, this command 4" in nbest("select", run, "-s", "random", "--seed", 4).err
    assert nbest("select", run, "-s", "random(seed=0)", "--as", "random").code == 0
    refused = nbest("select", run, "-s", "majority", "--as", "random")
    assert refused.code == 2
    assert "'random'" in refused.err
    assert "'majority'" in refused.err


def test_selections_from_scores_that_were_replaced_are_refused(nbest: Callable, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", problems=3).path
    assert nbest("score", run, "-s", "mean-logprob", "--as", "mine").code == 0
    assert nbest("select", run, "-s", "score:mine").code == 0
    dropped = nbest("drop", run, "scores/mine")
    assert f"nbest drop {run} selections/score:mine" in dropped.out
    assert nbest("score", run, "-s", "min-logprob", "--as", "mine").code == 0
    refused = nbest("select", run, "-s", "score:mine")
    assert refused.code == 2
    assert "'mean-logprob'" in refused.err
    assert "'min-logprob'" in refused.err
    assert nbest("drop", run, "selections/score:mine").code == 0
    assert nbest("select", run, "-s", "score:mine").code == 0


def test_what_has_no_origin_stays_usable_and_is_said(nbest: Callable, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", problems=3)
    run.append_scores("mine", [Score("p0#0", 0.5)])
    run.append_selections("first", [Selection("p0", 0)])
    scored = nbest("score", run.path, "-s", "mean-logprob", "--as", "mine")
    assert scored.code == 0
    assert "note: scores/mine: where some of its scores come from was not recorded" in scored.out
    selected = nbest("select", run.path, "-s", "first", "--json", "-")
    assert "was not recorded" in selected.json["selections"][0]["note"]
    # What was added since has an origin, and the note stays.
    assert nbest("score", run.path, "-s", "min-logprob", "--as", "mine").code == 2
    assert "was not recorded" in nbest("score", run.path, "-s", "mean-logprob", "--as", "mine").out


def test_the_origin_that_a_killed_command_left_alone_blocks_nothing(nbest: Callable, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", problems=3).path
    assert nbest("score", run, "-s", "mean-logprob", "--as", "mine").code == 0
    for part in (run / "scores" / "mine").glob("part-*"):
        part.unlink()
    assert nbest("score", run, "-s", "min-logprob", "--as", "mine").code == 0
    assert nbest("score", run, "-s", "mean-logprob", "--as", "mine").code == 2


def test_a_command_that_fails_leaves_no_origin(nbest: Callable, run: Path) -> None:
    before = read_files(run)
    assert nbest("score", run, "-s", "mean-logprob").code == 5
    assert read_files(run) == before


def test_abstentions_of_a_judge_that_was_down_are_made_again(nbest: Callable, run: Path, tmp_path: Path) -> None:
    config = tmp_path / "judge.toml"
    words = ("select", run, "-s", "genselect-vote", "--judge-config", config, "--json", "-")
    config.write_text(ENDPOINT.format(url="http://127.0.0.1:9/v1"))
    assert nbest(*words).json["selections"][0]["abstained"] == 2
    with serve(create_app(ScriptedSampler(["Judgment: 0"]), "judge")) as url:
        config.write_text(ENDPOINT.format(url=url))
        assert nbest(*words).json["selections"][0]["judgements"]["calls"] == 0
        row = nbest(*words, "--redo", "failed").json["selections"][0]
        assert (row["redone"], row["selected"], row["abstained"]) == (2, 2, 0)
        again = nbest(*words, "--redo", "failed").json["selections"][0]
        assert (again["redone"], again["judgements"]["calls"]) == (0, 0)
    assert "--redo" in nbest("select", run, "-s", "majority", "--redo", "all").err


def test_scores_of_a_judge_that_was_down_are_made_again(nbest: Callable, run: Path, tmp_path: Path) -> None:
    config = tmp_path / "judge.toml"
    words = ("score", run, "-s", "genselect", "--judge-config", config, "--json", "-")
    config.write_text(ENDPOINT.format(url="http://127.0.0.1:9/v1"))
    assert nbest(*words).json["scores"][0]["without"] == 8
    with serve(create_app(ScriptedSampler(["Judgment: 0"]), "judge")) as url:
        config.write_text(ENDPOINT.format(url=url))
        row = nbest(*words, "--redo", "failed").json["scores"][0]
        # A trajectory without an answer never has a score: it is not judged again.
        assert (row["redone"], row["scored"], row["without"]) == (7, 7, 1)
        assert nbest(*words, "--redo", "failed").json["scores"][0]["judgements"]["calls"] == 0


def test_ungraded_verdicts_are_graded_again(nbest: Callable, run: Path) -> None:
    stored = Run.open(run)
    stored.append_verdicts([Verdict("a#0", None, "4", "timed out after 20 s"), Verdict("a#1", False, "4.0")])
    first = nbest("verify", run, "--json", "-").json
    assert (first["right"], first["ungraded"]) == (1, 1)
    again = nbest("verify", run, "--redo", "failed", "--json", "-").json
    assert (again["redone"], again["right"], again["ungraded"]) == (1, 2, 0)
    # What was graded stays as it is.
    assert {verdict.trajectory_id: verdict.correct for verdict in stored.verdicts()}["a#1"] is False


def test_drop_removes_what_it_names_and_says_so(nbest: Callable, run: Path) -> None:
    assert nbest("verify", run).code == 0
    assert nbest("select", run, "-s", "majority", "-s", "first").code == 0
    result = nbest("drop", run, "scores/guess", "selections/majority", "verdicts")
    assert result.code == 0
    assert f"{run}: removed scores/guess: 8 rows, " in result.out
    assert f"{run}: removed selections/majority: 2 rows of 'majority', " in result.out
    assert f"{run}: removed verdicts: 8 rows, " in result.out
    stored = Run.open(run)
    assert (stored.scorers(), stored.selectors(), stored.done_verdicts()) == ([], ["first"], set())
    assert len(stored.done_trajectories()) == 8
    assert not list(run.rglob(".*"))
    before = read_files(run)
    unknown = nbest("drop", run, "selections/first", "scores/gues", "trajectories", "../run")
    assert unknown.code == 2
    assert "nothing is stored as 'trajectories'" in unknown.err
    assert read_files(run) == before


def test_drop_removes_damaged_parts(nbest: Callable, run: Path) -> None:
    part = next((run / "scores" / "guess").glob("part-*"))
    part.write_bytes(part.read_bytes()[:-40])
    assert nbest("verify", run).code == 4
    assert "an unknown number of rows" in nbest("drop", run, "scores/guess").out
    assert nbest("verify", run).code == 0


def test_drop_leaves_what_another_process_is_writing(nbest: Callable, run: Path) -> None:
    with Claims(run) as claims:
        claims.share("scores/guess")
        refused = nbest("drop", run, "scores/guess")
    assert refused.code == 8
    assert "another process is writing scores/guess" in refused.err
    assert len(Run.open(run).done_scores("guess")) == 8
    assert nbest("drop", run, "scores/guess").code == 0
