"""From names and configs to objects; what the manifest of a run says."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nbest.config import EndpointConfig, GenerativeConfig, PolicyConfig, ProblemsConfig, SampleConfig, parse_config
from nbest.errors import ConfigError
from nbest.protocols import Sampler, Selector
from nbest.registry import (
    SAMPLERS,
    SELECTORS,
    build_policy,
    build_selector,
    describe_sampling,
    find,
    load_judge,
    load_problems,
    load_sample_config,
    pin_revision,
    read_git_commit,
)
from nbest.selecting.estimators import NAMES
from nbest.storage.run import Run
from nbest.verifying.equivalence import Equivalence


def test_every_name_of_the_table_leads_to_a_class() -> None:
    assert all(isinstance(find(place), type) for place in (*SAMPLERS.values(), *SELECTORS.values()))


def test_selectors_and_estimators_have_the_same_names(tmp_path: Path) -> None:
    assert set(SELECTORS) == set(NAMES) - {"oracle"}
    run = Run.create(tmp_path / "run", {"identity": {}, "info": {}})
    equivalence = Equivalence()
    assert all(isinstance(build_selector(name, run, equivalence), Selector) for name in SELECTORS)
    equivalence.close()


def test_a_scripted_policy_needs_a_script() -> None:
    assert isinstance(build_policy(PolicyConfig(type="scripted", script=("a",))).sampler, Sampler)
    with pytest.raises(ConfigError, match="script"):
        build_policy(PolicyConfig(type="scripted"))


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
    policy = build_policy(PolicyConfig())
    assert policy.info["parameters"] < 3_000_000
    folder = Path(find("nbest.sampling.checkpoint:locate_checkpoint")("bundled:arithmetic"))
    assert sum(path.stat().st_size for path in folder.iterdir()) < 8_000_000
    assert {"model.safetensors", "tokenizer.json", "chat_template.jinja", "config.json"} <= {
        path.name for path in folder.iterdir()
    }
    assert policy.about_states["step_rule"] == "blank-line"
    policy.close()


def test_the_manifest_fixes_what_decides_the_result() -> None:
    config = SampleConfig(policy=PolicyConfig(type="scripted", script=("a",)), problems=ProblemsConfig(count=3))
    policy, problems = build_policy(config.policy), load_problems(config.problems)
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
    policy = build_policy(parse_config(SampleConfig, {"policy": fields}, "test").policy)
    assert policy.identity == {"type": "openai", "model": "m", "template": "chat", "dialect": "vllm"}
    assert policy.info == {"base_url": "http://127.0.0.1:1/v1"}
    policy.close()


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"type": "openai"}, r"policy\.endpoint\.base_url: type 'openai' needs the URL"),
        ({"type": "openai", "endpoint": {}}, r"policy\.endpoint\.base_url: Field required"),
        ({"endpoint": {"base_url": "http://127.0.0.1:1/v1"}}, r"policy\.endpoint: only type 'openai' asks a server"),
        ({"endpoint": {"url": "x"}}, r"policy\.endpoint\.url: unknown key. Known keys here: api_key_env, base_url,"),
    ],
)
def test_a_server_and_its_type_belong_together(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        build_policy(parse_config(SampleConfig, {"policy": fields}, "test").policy)


SERVER = PolicyConfig(type="openai", model="m", endpoint=EndpointConfig(base_url="http://127.0.0.1:1/v1"))
TRAINED = {"style": "compact", "thinking": "answer", "window": 4, "max_tokens": 96, "temperature": 0.7}


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """A folder with a tokenizer, and how its model was trained to be asked."""
    folder = Path(find("nbest.sampling.checkpoint:locate_checkpoint")("bundled:arithmetic"))
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "config.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    (tmp_path / "selection.json").write_text(json.dumps(TRAINED))
    return tmp_path


def test_a_tokenizer_counts_for_a_judge_behind_a_server(trained: Path) -> None:
    judge = load_judge(GenerativeConfig(policy=SERVER, tokenizer=str(trained), budget_tokens=200, window=6))
    judge.policy.close()
    with Equivalence() as equivalence:
        made = judge.setting(equivalence)
    # What the config says counts over the file: window 6, not 4.
    assert (made.window.size, made.window.budget_tokens, made.format.style, made.format.thinking) == (
        *(6, 200),
        *("compact", "answer"),
    )
    assert (made.judge.policy.params.max_tokens, made.judge.policy.params.top_p) == (96, 1.0)
    # One token a digit or a sign, as the bundled policy has them.
    assert made.window.count("1") == 1
    assert made.window.count("1 + 2") > made.window.count("1")


def test_a_budget_that_nobody_counts_is_refused() -> None:
    judge = load_judge(GenerativeConfig(policy=SERVER, budget_tokens=200))
    judge.policy.close()
    with Equivalence() as equivalence, pytest.raises(ConfigError, match="name the model's tokenizer"):
        judge.setting(equivalence)
    with pytest.raises(ConfigError, match="tokenizer: 'x' came; type 'transformers' counts with its own"):
        load_judge(GenerativeConfig(tokenizer="x"))
    with pytest.raises(ConfigError, match="tokenizer: '/nowhere' could not be loaded"):
        load_judge(GenerativeConfig(policy=SERVER, tokenizer="/nowhere"))


def test_vllm_is_asked_as_its_model_was_trained(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = SimpleNamespace(describe=lambda: ({}, {}), sample=None)
    monkeypatch.setattr("nbest.sampling.vllm.VllmSampler", lambda *_: loaded)
    policy = PolicyConfig(type="vllm", model=str(trained))
    judge = load_judge(GenerativeConfig(policy=policy))
    assert (judge.config.style, judge.config.window, judge.count_tokens) == ("compact", 4, None)
    counting = load_judge(GenerativeConfig(policy=policy, budget_tokens=100)).count_tokens
    assert counting is not None
    assert counting("1") == 1
    # The model's own file counts before that of the tokenizer it names.
    other = trained / "other"
    other.mkdir()
    (other / "selection.json").write_text(json.dumps({"window": 3}))
    told = load_judge(GenerativeConfig(policy=policy.model_copy(update={"model": str(other)}), tokenizer=str(trained)))
    assert (told.config.window, told.config.thinking) == (3, "answer")
