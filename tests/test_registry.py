"""From names and configs to objects; what the manifest of a run says."""

import asyncio
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nbest
import nbest.selecting
from nbest import registry
from nbest.config import EndpointConfig, GenerativeConfig, PolicyConfig, ProblemsConfig, SampleConfig, parse_config
from nbest.errors import ConfigError, UnavailableError
from nbest.judging.models import JudgeModel, load_judge
from nbest.protocols import Sampler, Scorer, Selector
from nbest.records import Completion, Pool, Trajectory
from nbest.registry import (
    KINDS,
    BuildContext,
    describe_methods,
    find_spec,
    load_scorer,
    load_selector,
    needed_scorers,
    specs,
    stored_name,
)
from nbest.run_settings import describe_sampling, load_problems, load_sample_config, pin_revision, read_git_commit
from nbest.sampling.policies import load_policy, origin_of
from nbest.sampling.scripted import ScriptedSampler
from nbest.selecting.combined.features import NormalScores, column_names
from nbest.selecting.combined.model import CombinedModel, choice_names
from nbest.selecting.combined.selector import CombinedSelector
from nbest.selecting.estimators import contestant, default_contestants
from nbest.selecting.outcomes import Outcomes, Survey
from nbest.specs import MethodKind, MethodName, load
from nbest.states.sources import NO_STATES
from nbest.statistics.calibration import PlattMap
from nbest.verifying.equivalence import Equivalence
from tests.scoring.reward_fixtures import create_model, create_tokenizer


@pytest.mark.parametrize("kind", KINDS)
def test_every_spec_says_what_a_method_is(kind: MethodKind) -> None:
    for spec in specs(kind):
        assert spec.summary.endswith(".")
        assert find_spec(kind, spec.name) is spec
        assert callable(load(spec.build))


def test_every_selector_without_models_is_built() -> None:
    with Equivalence() as equivalence:
        context = BuildContext(equivalence, scores=lambda _: {})
        for spec in specs("selector"):
            if spec.role == "bound":
                with pytest.raises(ConfigError, match="never a selection"):
                    load_selector(spec.name, context)
            elif "judge" in spec.needs:
                with pytest.raises(ConfigError, match="name it with --judge"):
                    load_selector(spec.name, context)
            elif "sandbox" in spec.needs:
                with pytest.raises(UnavailableError, match="has no sandbox"):
                    load_selector(f"{spec.name}:a" if spec.reads_scores else spec.name, context)
            elif spec.scorers is None:
                selector = load_selector(f"{spec.name}:a" if spec.reads_scores else spec.name, context)
                assert isinstance(selector, Selector)


def test_the_registry_loads_no_engine() -> None:
    code = (
        "import sys; from nbest.registry import KINDS, specs; [specs(kind) for kind in KINDS];"
        "print(sorted({'torch', 'transformers', 'pyarrow', 'duckdb'} & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("majorty", "Did you mean 'majority'"),
        ("trajselector", "It is a scorer: select by its scores with score:trajselector"),
        ("vote", "reads scores: write vote:SCORER"),
        ("majority:mean-logprob", "reads no scores; leave out 'mean-logprob'"),
        ("majority(seed=1)", "unknown option 'seed'; it takes no options"),
        ("borda(powr=2):a", "unknown option 'powr'; it takes power. Did you mean 'power'?"),
        ("softmax(temperature=0):a", "temperature: Input should be greater than 0"),
        ("vote:a(", "does not name a method"),
        ("no.such.module:Thing", "nor a class that can be imported"),
        ("combined", "needs the file"),
        ("combined(file=no/such.json)", "no/such.json: cannot be read"),
        ("no/such.json", "no/such.json: cannot be read"),
        ("majority(file=x.json)", "unknown option 'file'; it takes no options"),
        ("oracle", "it is a bound in `nbest compare`, never a selection"),
    ],
)
def test_a_faulty_selector_says_what_to_do(name: str, message: str) -> None:
    with Equivalence() as equivalence, pytest.raises(ConfigError, match=re.escape(message)):
        load_selector(name, BuildContext(equivalence))


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("mean-logprob", {"scorer_model": "no/such"}, "--scorer-model: scorer 'mean-logprob' takes none"),
        ("mean-logprob", {"family": "nonsense"}, "--family: scorer 'mean-logprob' takes none; it belongs to reward"),
        ("deepconf-bottom(tail=3)", {}, "unknown option 'tail'; it takes share, window"),
        ("deepconf-bottom(window=x)", {}, "window: Input should be a valid integer"),
        ("trajselector(aggregation=best)", {}, "aggregation: Input should be 'mean', 'min'"),
        ("meanlogprob", {}, "Did you mean 'mean-logprob'"),
        ("step-mlp", {}, "does not come with the package"),
        ("reward", {}, "needs --scorer-model"),
    ],
)
def test_a_faulty_scorer_says_what_to_do(name: str, given: dict[str, Any], message: str) -> None:
    with Equivalence() as equivalence, pytest.raises(ConfigError, match=re.escape(message)):
        load_scorer(name, BuildContext(equivalence, **given))


@pytest.mark.parametrize(
    ("kind", "name", "stored"),
    [
        ("scorer", "deepconf-bottom(window=16,share=0.2)", "deepconf-bottom(share=0.2, window=16)"),
        ("selector", "vote:deepconf-bottom(window=16,share=0.2)", "vote:deepconf-bottom(share=0.2, window=16)"),
        ("selector", "majority", "majority"),
        ("selector", "my run/mix.json", "mix"),
        ("selector", "combined(file=my run/mix.json)", "combined"),
        ("selector", "combined(threshold=0.8, file=mix.json)", "combined(threshold=0.8)"),
        ("selector", "score:my.module:Scorer(x=1)", "score:my.module:Scorer(x=1)"),
    ],
)
def test_a_method_is_kept_under_one_name(kind: MethodKind, name: str, stored: str) -> None:
    assert stored_name(kind, name) == stored


@pytest.fixture
def fitted(tmp_path: Path) -> str:
    """The file of a combined selector, in a folder whose name no method could have."""
    scorers = ("a",)
    columns = column_names(scorers)
    model = CombinedModel(
        scorers=scorers,
        main="a",
        scales=(NormalScores((-3.0, 3.0), (-3.0, 3.0)),),
        weights=tuple(float(name == "a:best") for name in columns),
        doubt=(0.0,) * len(choice_names(scorers)),
        intercept=0.0,
        calibration=PlattMap(1.0, 0.0),
        policy="fitted",
    )
    folder = tmp_path / "my runs, (new)"
    folder.mkdir()
    model.save(folder / "mix.json")
    return str(folder / "mix.json")


def test_a_fitted_file_is_a_name_of_the_combined_selector(fitted: str) -> None:
    outcomes = Outcomes(
        problem_id="p",
        indices=np.arange(3),
        correct=np.array([False, True, False]),
        failed=np.zeros(3, dtype=bool),
        answers=("0", "1", "2"),
        sampled_tokens=np.ones(3, dtype=np.int64),
        characters=np.zeros(3, dtype=np.int64),
        scores={"a": np.array([0.0, 1.0, 0.5])},
    )
    long_name = str(MethodName("combined", {"file": fitted}))
    with Equivalence() as equivalence:
        for name in (fitted, long_name):
            assert find_spec("selector", name).name == "combined"
            assert needed_scorers(name) == ["a"]
            assert isinstance(load_selector(name, BuildContext(equivalence)), CombinedSelector)
            curve = contestant(name, equivalence).estimate(outcomes, [3])
            assert (curve.accuracy.tolist(), curve.abstained.tolist()) == ([1.0], [0.0])
        # The confidence of this model is one half everywhere.
        strict = str(MethodName("combined", {"file": fitted, "threshold": 0.8}))
        assert contestant(strict, equivalence).estimate(outcomes, [3]).abstained.tolist() == [1.0]
        with pytest.raises(ConfigError, match="fitted on the policy 'fitted'; run x is of 'other'"):
            load_selector(fitted, BuildContext(equivalence, where="run x", policy_hash="other"))
        with pytest.raises(ConfigError, match="threshold: Input should be less than or equal to 1"):
            contestant(str(MethodName("combined", {"file": fitted, "threshold": 2})), equivalence)


def test_the_parts_that_selectors_have_in_a_comparison() -> None:
    roles = {spec.name: spec.role for spec in specs("selector") if spec.role != "competitor"}
    assert roles == {"first": "chance", "random": "chance", "majority": "baseline", "oracle": "bound"}


def test_methods_are_described_with_their_options() -> None:
    rows = {(row["kind"], row["name"]): row for row in describe_methods()}
    assert rows["scorer", "deepconf-bottom"]["options"] == {"window": 2048, "share": 0.1}
    assert rows["selector", "borda:NAME"]["options"] == {"power": 0.5}
    assert rows["selector", "majority"]["source"] == "arXiv 2203.11171"
    assert {row["kind"] for row in describe_methods("scorer")} == {"scorer"}
    with pytest.raises(ConfigError, match="Did you mean 'scorer'"):
        describe_methods("scorers")


def test_a_selector_with_a_curve_is_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the file is added to the room: the registry builds it, a comparison draws its curve, and lists it."""
    code = Path(__file__).parent.joinpath("plugins", "nbest_plugin", "closest.py").read_text(encoding="utf-8")
    (tmp_path / "closest.py").write_text(f"{code}\n\nSPECS = (SPEC,)\n", encoding="utf-8")
    monkeypatch.setattr(nbest.selecting, "__path__", [*nbest.selecting.__path__, str(tmp_path)])
    registry._built_in.cache_clear()
    try:
        with Equivalence() as equivalence:
            assert isinstance(load_selector("closest(tokens=2)", BuildContext(equivalence)), Selector)
            assert contestant("closest", equivalence).role == "competitor"
        assert "closest" in [row["name"] for row in describe_methods("selector")]
        counts = dict.fromkeys(("problems", "trajectories", "n_min", "n_max"), 1)
        survey = Survey(**counts, unverified=0, ungraded=0, answered=1, failed=0, tokenless=0, unscored={})
        names = ["first", "random", "majority", "longest", "shortest", "closest", "oracle"]
        assert default_contestants(survey) == names
    finally:
        registry._built_in.cache_clear()
        sys.modules.pop("nbest.selecting.closest")
        monkeypatch.delattr(nbest.selecting, "closest")


def test_a_model_named_twice_is_refused() -> None:
    with Equivalence() as equivalence, pytest.raises(ConfigError, match="give one"):
        load_scorer("trajselector(model=a)", BuildContext(equivalence, scorer_model="b"))


def test_an_outcome_model_has_nothing_to_aggregate(tmp_path: Path) -> None:
    create_model("skywork-reward").save_pretrained(tmp_path)
    create_tokenizer().save_pretrained(tmp_path)
    with Equivalence() as equivalence:
        context = BuildContext(equivalence, scorer_model=str(tmp_path), family="skywork-reward")
        assert isinstance(load_scorer("reward", context), Scorer)
        with pytest.raises(ConfigError, match="gives one reward per trajectory"):
            load_scorer("reward(aggregation=min)", context)


def test_options_override_the_settings_of_the_judge() -> None:
    sampler = ScriptedSampler(["Judgment: 0"])
    with Equivalence() as equivalence:
        judge = JudgeModel(GenerativeConfig(window=8, repeats=8), sampler)
        context = BuildContext(equivalence, judge=lambda: judge)
        for load_method, name in ((load_selector, "genselect-vote"), (load_scorer, "genselect")):
            settings = load_method(f"{name}(window=3, repeats=2)", context)._settings
            assert (settings.window.size, settings.repeats) == (3, 2)
        assert load_selector("usc", context)._settings.window.size == 8
        with pytest.raises(ConfigError, match="unknown option 'repeats'; it takes on_failure, summary_tokens"):
            load_selector("knockout(repeats=2)", context)


async def test_methods_are_loaded_by_their_name_alone() -> None:
    """Answers 2, 3, 2.0 with mean log-probabilities -1, -0.5, -1: the votes are weighed by confidences 1, 1.5, 1."""
    completions = [
        Completion(
            rf"\boxed{{{answer}}}",
            tokens=np.zeros(2, np.int32),
            logprobs=np.full(2, logprob, np.float32),
            confidences=np.full(2, -confidence, np.float32),
            finish="stop",
        )
        for answer, logprob, confidence in (("2", -1.0, 1.0), ("3", -0.5, 1.5), ("2.0", -1.0, 1.0))
    ]
    pool = Pool("p", "?", tuple(Trajectory(f"p#{i}", "p", i, i, each) for i, each in enumerate(completions)))
    async with nbest.load_scorer("mean-logprob") as scorer:
        assert [score.value for score in await scorer.score(pool, NO_STATES)] == [-1.0, -0.5, -1.0]
    assert (await nbest.load_selector("majority").select(pool)).index == 0
    selector = nbest.load_selector("vote:trajselector-fused")
    with pytest.raises(UnavailableError, match="this pool has no score of 'trajselector-fused'"):
        await selector.select(pool)
    scores = {score.trajectory_id: score for score in await nbest.load_scorer("deepconf-mean").score(pool, NO_STATES)}
    context = nbest.BuildContext(scores=lambda _: scores)
    assert (await nbest.load_selector("score:deepconf-mean", context).select(pool)).index == 1
    # 1 + 1 for the answer 2 against 1.5 for 3.
    assert (await nbest.load_selector("vote:deepconf-mean", context).select(pool)).answer == "2"


async def test_options_reach_the_method() -> None:
    """Confidences -1, -3, -1, -1 over windows of two tokens: means 2, 2, 1; the lowest one is 1."""
    confidences = np.array([-1, -3, -1, -1], dtype=np.float32)
    completion = Completion("x", tokens=np.zeros(4, np.int32), confidences=confidences, finish="stop")
    pool = Pool("p", "?", (Trajectory("p#0", "p", 0, 0, completion),))
    with Equivalence() as equivalence:
        context = BuildContext(equivalence)
        for name, value in (
            ("deepconf-window(window=2)", 1.0),
            ("deepconf-tail(tail=3)", 5 / 3),
            ("deepconf-mean", 1.5),
        ):
            async with load_scorer(name, context) as scorer:
                [score] = await scorer.score(pool, NO_STATES)
                assert score.value == pytest.approx(value)


def test_a_scripted_policy_needs_a_script() -> None:
    assert isinstance(load_policy(PolicyConfig(type="scripted", script=("a",))), Sampler)
    with pytest.raises(ConfigError, match="script"):
        load_policy(PolicyConfig(type="scripted"))


def test_presets_are_configs() -> None:
    assert load_sample_config("arithmetic").policy.model == "bundled:arithmetic"
    paper = load_sample_config("trajselector_qwen3_8b")
    # TrajSelector's settings are the defaults of the package, but for what is captured.
    default = SampleConfig().sampling
    assert (paper.sampling.temperature, paper.sampling.top_p, paper.sampling.top_k, paper.sampling.max_tokens) == (
        default.temperature,
        default.top_p,
        default.top_k,
        default.max_tokens,
    )
    assert paper.sampling.capture == (-1,)


def test_the_bundled_policy_is_what_it_says() -> None:
    policy = load_policy("bundled:arithmetic")
    assert policy.describe().info["parameters"] < 3_000_000
    folder = Path(load("nbest.sampling.checkpoint:locate_checkpoint")("bundled:arithmetic"))
    assert sum(path.stat().st_size for path in folder.iterdir()) < 8_000_000
    assert {"model.safetensors", "tokenizer.json", "chat_template.jinja", "config.json"} <= {
        path.name for path in folder.iterdir()
    }
    assert origin_of(policy.describe())["step_rule"] == "blank-line"
    asyncio.run(policy.aclose())


def test_the_manifest_fixes_what_decides_the_result() -> None:
    config = SampleConfig(policy=PolicyConfig(type="scripted", script=("a",)), problems=ProblemsConfig(count=3))
    policy, problems = load_policy(config.policy).describe(), load_problems(config.problems)
    manifest = describe_sampling(config, policy, problems)
    identity = manifest["identity"]
    assert set(identity) == {"problems", "policy", "sampling", "seed"}
    more = config.model_copy(update={"n": 64})
    assert describe_sampling(more, policy, problems)["identity"] == identity
    other = config.model_copy(update={"seed": 1})
    assert describe_sampling(other, policy, problems)["identity"] != identity
    assert describe_sampling(config, policy, problems[:2])["identity"] != identity
    assert manifest["info"]["git_commit"] == read_git_commit()


def test_the_revision_of_a_benchmark_is_pinned_to_a_commit() -> None:
    """A whole commit is taken as it is, without asking the hub; the generator and local copies have none."""
    commit = "0123456789abcdef0123456789abcdef01234567"
    settings = parse_config(SampleConfig, {"problems": {"source": "aime_2024", "revision": commit}}, "test")
    assert pin_revision(settings).problems.revision == commit
    generated = SampleConfig()
    assert pin_revision(generated) is generated
    local = parse_config(SampleConfig, {"problems": {"source": "aime_2024", "file": "copy.jsonl"}}, "test")
    assert pin_revision(local) is local


def test_a_policy_behind_a_server_is_described_without_asking_it(monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = {"base_url": "http://127.0.0.1:1/v1", "api_key_env": "A_KEY", "retries": 0}
    fields = {"type": "openai", "model": "m", "endpoint": endpoint}
    monkeypatch.setenv("A_KEY", "secret")
    policy = load_policy(parse_config(SampleConfig, {"policy": fields}, "test").policy)
    assert policy.describe().identity == {"type": "openai", "model": "m", "template": "chat", "dialect": "vllm"}
    assert policy.describe().info == {"base_url": "http://127.0.0.1:1/v1"}
    asyncio.run(policy.aclose())


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"type": "openai"}, r"policy\.endpoint\.base_url: type 'openai' needs the URL"),
        ({"type": "openai", "endpoint": {}}, r"policy\.endpoint\.base_url: Field required"),
        (
            {"endpoint": {"base_url": "http://127.0.0.1:1/v1"}},
            r"policy: endpoint: only type 'openai' reads it; type is 'transformers'",
        ),
        (
            {"engine": {"a": 1}, "script": ["x"]},
            r"script: only type 'scripted' reads it; engine: only type 'vllm' reads it",
        ),
        ({"type": "vlm"}, r"Did you mean 'vllm'"),
        ({"endpoint": {"url": "x"}}, r"policy\.endpoint\.url: unknown key. Known keys here: api_key_env, base_url,"),
    ],
)
def test_a_server_and_its_type_belong_together(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        load_policy(parse_config(SampleConfig, {"policy": fields}, "test").policy)


SERVER = PolicyConfig(type="openai", model="m", endpoint=EndpointConfig(base_url="http://127.0.0.1:1/v1"))
TRAINED = {"style": "compact", "thinking": "answer", "window": 4, "max_tokens": 96, "temperature": 0.7}


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """A folder with a tokenizer, and how its model was trained to be asked."""
    folder = Path(load("nbest.sampling.checkpoint:locate_checkpoint")("bundled:arithmetic"))
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "config.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    (tmp_path / "selection.json").write_text(json.dumps(TRAINED))
    return tmp_path


def test_a_tokenizer_counts_for_a_judge_behind_a_server(trained: Path) -> None:
    judge = load_judge(GenerativeConfig(policy=SERVER, tokenizer=str(trained), budget_tokens=200, window=6))
    asyncio.run(judge.aclose())
    with Equivalence() as equivalence:
        made = judge.settings(equivalence)
    # What the config says counts over the file: window 6, not 4.
    assert (made.window.size, made.window.budget_tokens, made.format.style, made.format.thinking) == (
        *(6, 200),
        *("compact", "answer"),
    )
    assert (made.judge.retry.params.max_tokens, made.judge.retry.params.top_p) == (96, 1.0)
    # One token a digit or a sign, as the bundled policy has them.
    assert made.window.count("1") == 1
    assert made.window.count("1 + 2") > made.window.count("1")


def test_a_budget_that_nobody_counts_is_refused() -> None:
    judge = load_judge(GenerativeConfig(policy=SERVER, budget_tokens=200))
    asyncio.run(judge.aclose())
    with Equivalence() as equivalence, pytest.raises(ConfigError, match="name the model's tokenizer"):
        judge.settings(equivalence)
    with pytest.raises(ConfigError, match="tokenizer: got 'x'; type 'transformers' counts with its own"):
        load_judge(GenerativeConfig(tokenizer="x"))
    with pytest.raises(ConfigError, match="tokenizer: '/nowhere' could not be loaded"):
        load_judge(GenerativeConfig(policy=SERVER, tokenizer="/nowhere"))


def test_a_tokenizer_that_counts_prompts_has_a_chat_template(trained: Path) -> None:
    (trained / "chat_template.jinja").unlink()
    with pytest.raises(ConfigError, match="has no chat template, and prompts are counted through it"):
        load_judge(GenerativeConfig(policy=SERVER, tokenizer=str(trained)))


def test_vllm_is_asked_as_its_model_was_trained(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nbest.sampling.vllm.VllmSampler", lambda *_: ScriptedSampler(["a"]))
    policy = PolicyConfig(type="vllm", model=str(trained))
    judge = load_judge(GenerativeConfig(policy=policy))
    assert (judge.config.style, judge.config.window, judge.count_tokens) == ("compact", 4, None)
    # The model's own file counts before that of the tokenizer it names.
    other = trained / "other"
    other.mkdir()
    (other / "selection.json").write_text(json.dumps({"window": 3}))
    told = load_judge(GenerativeConfig(policy=policy.model_copy(update={"model": str(other)}), tokenizer=str(trained)))
    assert (told.config.window, told.config.thinking) == (3, "answer")
