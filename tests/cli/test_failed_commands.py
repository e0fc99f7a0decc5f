"""A command that fails leaves the folder as it was, names all faults at once, and the corrected command works."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nbest.sampling.checkpoint import locate_checkpoint
from nbest.serving.background import serve
from nbest.storage.run import Run

SMALL = ("--n", 2, "--count", 2, "--max-tokens", 16)


def write_config(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("sampling", "messages"),
    [
        ("capture = [40, -9]", ["capture: got layers [40, -9]; this model has hidden states 0..5"]),
        ("max_tokens = 0", ["sampling.max_tokens: allowed is 1 or more; got 0"]),
        ("top_p = 3.0", ["sampling.top_p: allowed is above 0, at most 1 (1 = off); got 3.0"]),
        ("temperature = nan", ["sampling.temperature: allowed is 0 (greedy) or more; got nan"]),
        ("temperature = inf", ["sampling.temperature: allowed is 0 (greedy) or more; got inf"]),
        ("min_p = -0.5\ntop_k = -1", ["sampling.min_p: allowed is 0 (off) to 1", "sampling.top_k: allowed is 0"]),
        ('stop = [""]', ["sampling.stop: allowed is strings that are not empty"]),
        ("capture = []", ["sampling.capture: allowed is at least one layer"]),
        ("capture = [6]\nmax_tokens = 0\nbogus = 1", ["layers [6]", "max_tokens", "sampling.bogus: unknown key"]),
    ],
)
def test_settings_are_checked_before_anything_is_written(
    nbest: Callable, tmp_path: Path, sampling: str, messages: list[str]
) -> None:
    config = write_config(tmp_path / "c.toml", f"n = 2\n[problems]\ncount = 2\n[sampling]\n{sampling}\n")
    result = nbest("sample", tmp_path / "run", "-c", config)
    assert result.code == 2
    for message in messages:
        assert message in result.err
    assert not (tmp_path / "run").exists()


def test_all_faults_of_file_flags_policy_and_problems_come_at_once(nbest: Callable, tmp_path: Path) -> None:
    config = write_config(
        tmp_path / "c.toml", '[problems]\nsource = "absent"\n[policy]\nbatch_rows = 0\n[sampling]\ncapture = [40]\n'
    )
    words = ("--n", 0, "--temperature", "nan", "--max-tokens", 0, "--shard", "4/2")
    result = nbest("sample", tmp_path / "run", "-c", config, *words)
    assert result.code == 2
    for name in ("policy.batch_rows", "command line: n", "temperature", "max_tokens", "shard", "absent", "layers [40]"):
        assert name in result.err
    assert not (tmp_path / "run").exists()


def test_the_corrected_command_works(nbest: Callable, tmp_path: Path) -> None:
    text = "n = 1\n[problems]\ncount = 1\n[sampling]\ncapture = [9]\nmax_tokens = 4\n"
    config, run = write_config(tmp_path / "c.toml", text), tmp_path / "run"
    assert nbest("sample", run, "-c", config).code == 2
    write_config(config, text.replace("[9]", "[5]"))
    assert nbest("sample", run, "-c", config).code == 0
    assert len(Run.open(run).done_states()) == 1


def test_a_large_n_is_confirmed(nbest: Callable, script: Path, tmp_path: Path) -> None:
    result = nbest("sample", tmp_path / "run", "-c", script, "--n", 1_000_001)
    assert result.code == 2
    assert "n: got 1,000,001 trajectories per problem" in result.err
    assert "--allow-large-n" in result.err
    assert not (tmp_path / "run").exists()


async def refuse_unknown_model(_: Any, receive: Any, send: Any) -> None:
    """Answer like a server that has one model, "right"."""
    body = b""
    while True:
        event = await receive()
        body += event.get("body", b"")
        if not event.get("more_body"):
            break
    is_right = json.loads(body)["model"] == "right"
    message = {"index": 0, "message": {"role": "assistant", "content": "4"}, "finish_reason": "stop"}
    answer = {"id": "1", "object": "chat.completion", "created": 0, "model": "right", "choices": [message]}
    status, content = (200, answer) if is_right else (404, {"error": {"message": "no such model"}})
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": json.dumps(content).encode()})


def test_a_server_that_refuses_the_model_leaves_no_run(nbest: Callable, tmp_path: Path) -> None:
    with serve(refuse_unknown_model) as url:
        config, run = tmp_path / "c.toml", tmp_path / "deep" / "run"
        text = (
            'n = 1\n[problems]\ncount = 1\n[policy]\ntype = "openai"\nmodel = "MODEL"\n[policy.endpoint]\n'
            f'base_url = "{url}"\nlogprobs = false\n[sampling]\nmax_tokens = 4\ntop_k = 0\n'
        )
        failed = nbest("sample", run, "-c", write_config(config, text.replace("MODEL", "wrong")))
        assert failed.code == 2
        assert "no such model" in failed.err
        assert not (tmp_path / "deep").exists()
        assert nbest("sample", run, "-c", write_config(config, text.replace("MODEL", "right"))).code == 0


def test_an_import_without_a_right_line_leaves_no_run(nbest: Callable, pools_file: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    failed = nbest("import", "lm-eval", run, pools_file)
    assert failed.code == 3
    assert not run.exists()
    assert nbest("import", "pools", run, pools_file).code == 0


@pytest.mark.parametrize(
    "words", [("--n", 0), ("--max-tokens", 0), ("--temperature", "nan"), ("--n", 0, "--temperature", -1)]
)
def test_ask_checks_its_settings_and_leaves_no_run(nbest: Callable, tmp_path: Path, words: tuple[object, ...]) -> None:
    result = nbest("ask", "What is 2 + 2?", "--run", tmp_path / "run", *words)
    assert result.code == 2
    for flag in (word for word in words if str(word).startswith("--")):
        assert str(flag).removeprefix("--").replace("-", "_") in result.err
    assert not (tmp_path / "run").exists()


def test_a_folder_that_cannot_be_created_is_refused_before_anything_is_drawn(
    nbest: Callable, script: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    result = nbest("sample", tmp_path / "file" / "run", "-c", script)
    assert result.code == 8
    assert "is a file" in result.err
    assert (tmp_path / "file").read_text() == ""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder with the weights of the bundled policy."""
    return Path(shutil.copytree(locate_checkpoint("bundled:arithmetic"), tmp_path / "project" / "model"))


def test_the_same_weights_by_another_path_are_the_same_policy(nbest: Callable, model: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert nbest("sample", run, "--policy", model, *SMALL).code == 0
    copy = shutil.copytree(model, tmp_path / "copy")
    grown = nbest("sample", run, "--policy", copy, "--n", 3, *SMALL[2:], "--json", "-")
    assert grown.json["drawn"] == 2
    assert nbest("sample", run, "--n", 3, *SMALL[2:]).code == 0
    weights = copy / "model.safetensors"
    changed = bytearray(weights.read_bytes())
    changed[-1] ^= 1
    weights.write_bytes(changed)
    refused = nbest("sample", run, "--policy", copy, "--n", 3, *SMALL[2:])
    assert refused.code == 2
    assert "policy.content_hash: the run has" in refused.err


def test_the_same_problem_file_by_another_path_is_the_same_source(
    nbest: Callable, script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rows.jsonl").write_text('{"id": "a", "q": "2+2?", "a": "4"}\n')
    (tmp_path / "own.toml").write_text('file = "rows.jsonl"\nquestion = "q"\nanswer = "a"\nid = "id"\nkind = "math"\n')
    run = tmp_path / "run"
    monkeypatch.chdir(tmp_path)
    first = nbest("sample", run, "-c", script, "--problems", "own.toml", "--n", 1)
    assert first.code == 0, first.err
    assert nbest("sample", run, "-c", script, "--problems", tmp_path / "own.toml", "--n", 2).code == 0


def test_encode_finds_the_policy_from_another_directory_and_after_a_move(
    nbest: Callable, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(model.parent)
    assert nbest("sample", "runs/r", "--policy", "model", *SMALL, "--no-capture").code == 0
    monkeypatch.chdir("/")
    moved = tmp_path / "moved"
    model.parent.rename(moved)
    result = nbest("encode", moved / "runs" / "r", "--json", "-")
    assert result.code == 0, result.err
    assert result.json["with_states"] == 4


def test_a_run_that_records_no_folder_is_searched_from_the_run_upwards(
    nbest: Callable, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(model.parent)
    assert nbest("sample", "runs/r", "--policy", "model", *SMALL, "--no-capture").code == 0
    manifest = model.parent / "runs" / "r" / "run.json"
    content = json.loads(manifest.read_text())
    del content["info"]["policy_folder"]
    content.pop("checksum", None)
    manifest.write_text(json.dumps(content))
    monkeypatch.chdir("/")
    assert nbest("encode", model.parent / "runs" / "r").code == 0


def test_a_policy_whose_weights_changed_is_not_used(nbest: Callable, model: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert nbest("sample", run, "--policy", model, *SMALL, "--no-capture").code == 0
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"attention_dropout": 0.5}))
    result = nbest("encode", run)
    assert result.code == 2
    assert "have other content" in result.err
    assert Run.open(run).done_states() == set()


def test_layers_are_checked_before_a_model_is_loaded(
    nbest: Callable, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    assert nbest("sample", run, "--policy", model, *SMALL, "--no-capture").code == 0

    def refuse(*_: object) -> None:
        raise AssertionError("the model was loaded")

    monkeypatch.setattr("nbest.states.encoder.load_checkpoint", refuse)
    result = nbest("encode", run, "--layer", 9, "--layer", -7)
    assert result.code == 2
    assert "got layers [9, -7]" in result.err
