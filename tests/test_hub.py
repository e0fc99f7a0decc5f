"""A hub that cannot be reached: one request, one line, and the cache where it holds the model."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import constants
from huggingface_hub.errors import RepositoryNotFoundError

from nbest.errors import ConfigError
from nbest.hub import describe_error, needs_cache
from nbest.sampling.checkpoint import locate_checkpoint

UNREACHABLE = "http://127.0.0.1:9"


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A cache of the hub that holds the model `me/small`."""
    folder = tmp_path / "hub" / "models--me--small"
    snapshot = folder / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("abc")
    for path in Path(locate_checkpoint("bundled:arithmetic")).iterdir():
        (snapshot / path.name).write_bytes(path.read_bytes())
    return tmp_path


def run_python(cache: Path, code: str, **variables: str) -> list[str]:
    """Run code in a process that cannot reach the hub, and return the lines it wrote to both streams."""
    environment = {**os.environ, "HF_HOME": str(cache), "HF_ENDPOINT": UNREACHABLE, **variables}
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return (result.stdout + result.stderr).splitlines()


LOADS = {
    "policy": "nbest.sampling.checkpoint:load_checkpoint",
    "tokenizer": "nbest.sampling.checkpoint:load_prompt_tokenizer",
    "reward model": "nbest.scoring.reward.checkpoint:load_reward_checkpoint",
    "step scorer": "nbest.scoring.hidden:load_step_scorer",
}


def test_a_model_that_is_nowhere_is_one_line(cache: Path):
    code = f"""
from nbest.specs import load
from nbest.errors import ConfigError
for name in {list(LOADS.values())}:
    options = {{"family": "skywork-reward"}} if "reward" in name else {{}}
    try:
        load(name)("me/other", **options)
    except ConfigError as error:
        print(error)
"""
    lines = run_python(cache, code)
    assert len(lines) == len(LOADS), lines
    for line in lines:
        assert "'me/other' is neither a folder nor in the cache" in line
        assert f"the hub at {UNREACHABLE} cannot be reached" in line
    for line in run_python(cache, code, HF_HUB_OFFLINE="1"):
        assert "switched off by HF_HUB_OFFLINE" in line


def test_a_model_of_the_cache_is_loaded_without_the_hub(cache: Path):
    code = """
from nbest.sampling.checkpoint import load_checkpoint, load_prompt_tokenizer
print(load_checkpoint("me/small").info["model"], load_prompt_tokenizer("me/small").is_fast)
"""
    assert run_python(cache, code) == ["me/small True"]


def test_a_dataset_that_is_nowhere_is_one_line(cache: Path):
    code = """
from nbest.errors import EngineError
from nbest.problems.benchmarks import load_benchmark
for name, revision in (("aime_2024", None), ("aime_2024", "0" * 40), ("livecodebench_v6_new", "0" * 40)):
    try:
        load_benchmark(name, revision=revision)
    except EngineError as error:
        print(error)
"""
    lines = run_python(cache, code)
    assert len(lines) == 3, lines
    assert all("the hub does not answer (ConnectError" in line and "--file" in line for line in lines)
    assert all("the cache of this machine does not hold it" in line for line in lines[1:])


@pytest.mark.parametrize("model", ["/nowhere/model", "./nowhere", "a/b/c", str(Path(__file__).parent)])
def test_no_request_for_what_is_no_hub_id_or_a_folder(model: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(huggingface_hub, "HfApi", None)
    assert not needs_cache(model, "model")


def test_one_request_with_the_revision(monkeypatch: pytest.MonkeyPatch):
    calls: list[Any] = []

    class Hub:
        endpoint = UNREACHABLE

        def model_info(self, model: str, revision: str | None, timeout: float) -> None:
            calls.append((model, revision, timeout))

    monkeypatch.setattr(huggingface_hub, "HfApi", Hub)
    assert not needs_cache("me/small", "model", "v1")
    assert calls == [("me/small", "v1", 10.0)]


def test_a_model_that_the_hub_does_not_have(monkeypatch: pytest.MonkeyPatch):
    response: Any = SimpleNamespace(headers={}, request=None)

    class Hub:
        endpoint = UNREACHABLE

        def model_info(self, model: str, **_: object) -> None:
            raise RepositoryNotFoundError(f"404: no {model}\nmore", response=response)

    monkeypatch.setattr(huggingface_hub, "HfApi", Hub)
    with pytest.raises(ConfigError, match=r"tokenizer: 'me/none' .* read no such model .*404: no me/none\)"):
        needs_cache("me/none", "tokenizer")


def test_an_unreachable_hub_in_this_process(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(constants, "ENDPOINT", UNREACHABLE)
    with pytest.raises(ConfigError, match="body: 'me/none' is neither a folder nor in the cache"):
        needs_cache("me/none", "body")


def test_an_error_is_described_in_one_line():
    assert describe_error(ValueError("one\ntwo")) == "ValueError: one"
    assert describe_error(ValueError()) == "ValueError"
