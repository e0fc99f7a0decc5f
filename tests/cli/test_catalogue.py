"""`nbest methods`, `nbest configs` and `nbest info`."""

from collections.abc import Callable
from pathlib import Path

import pytest

from nbest.named_configs import CONFIG_KINDS


def test_methods_are_listed_with_needs_options_and_source(nbest: Callable) -> None:
    result = nbest("methods", "--json", "-")
    assert result.code == 0
    methods = {(method["kind"], method["name"]): method for method in result.json}
    assert {"majority", "genselect-vote", "combined"} <= {name for kind, name in methods if kind == "selector"}
    assert "judge" in methods["selector", "genselect-vote"]["needs"]
    assert "states" in methods["scorer", "trajselector"]["needs"]
    assert "window" in methods["scorer", "deepconf-bottom"]["options"]
    assert any("arXiv" in method["source"] for method in result.json)
    assert all(method["summary"] for method in result.json)
    only = nbest("methods", "selector", "--json", "-").json
    assert {method["kind"] for method in only} == {"selector"}


def test_configs_are_listed_and_found(nbest: Callable) -> None:
    result = nbest("configs", "--json", "-")
    assert {config["kind"] for config in result.json} == set(CONFIG_KINDS)
    for config in result.json:
        assert Path(nbest("configs", f"{config['kind']}/{config['name']}").out.strip()) == Path(config["path"])
        assert Path(config["path"]).is_file()
    assert nbest("configs", "genselect_arithmetic").out.strip().endswith("genselect/genselect_arithmetic.toml")
    both = nbest("configs", "trajselector_qwen3_8b")
    assert both.code == 2
    assert "sample/trajselector_qwen3_8b or scorer/trajselector_qwen3_8b" in both.err


def test_a_training_recipe_is_found_by_name(nbest: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    # Its runs are not there: the recipe itself was read.
    result = nbest("train", "scorer", "trajselector_arithmetic")
    assert result.code == 2
    assert "scorer-train" in result.err


def test_info_of_an_empty_run_says_how_to_begin(nbest: Callable, tmp_path: Path) -> None:
    from nbest.storage.run import Run

    Run.create(tmp_path / "run", {"identity": {}, "info": {}})
    result = nbest("info", tmp_path / "run", "--json", "-")
    assert result.code == 0
    assert result.json["trajectories"] == 0
    assert result.json["next"][0] == f"nbest sample {tmp_path / 'run'}"


def test_info_says_what_a_run_holds_and_what_comes_next(nbest: Callable, pools_file: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    nbest("import", "pools", run, pools_file)
    first = nbest("info", run, "--json", "-").json
    assert (first["problems"], first["trajectories"], first["with_states"]) == (2, 8, 0)
    assert (first["smallest_pool"], first["largest_pool"]) == (4, 4)
    assert first["scorers"] == {"guess": 8}
    assert f"nbest verify {run}" in first["next"]
    assert f"nbest encode {run} --policy MODEL" in first["next"]
    assert not any("compare" in command for command in first["next"])
    nbest("verify", run)
    nbest("select", run, "-s", "majority")
    result = nbest("info", run)
    for part in (
        "imported from",
        "3 right, 5 wrong, 0 ungraded",
        "4 per problem",
        "guess",
        "majority",
        "nbest compare",
    ):
        assert part in result.out
    assert f"nbest verify {run}" not in result.out


def test_info_of_a_sampled_run(nbest: Callable, script: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    nbest("sample", run, "-c", script)
    result = nbest("info", run, "--json", "-").json
    assert result["origin"]["policy"] == "scripted"
    assert result["origin"]["source of problems"] == "arithmetic"
    assert result["origin"]["seed"] == "3"
    assert nbest("info", tmp_path / "none").code == 2
