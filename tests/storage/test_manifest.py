import json
from pathlib import Path

import pytest

from nbest.errors import ConfigError, DamagedRunError, DataError
from nbest.storage.manifest import create_manifest, read_manifest

MANIFEST = {"identity": {"seed": 1, "sampling": {"temperature": 0.6, "stop": ["a"]}}, "info": {"host": "x"}}


def test_the_first_manifest_stays(tmp_path: Path):
    path = tmp_path / "run.json"
    assert create_manifest(path, MANIFEST) == MANIFEST
    assert create_manifest(path, {**MANIFEST, "info": {"host": "y"}}) == MANIFEST
    assert read_manifest(path) == MANIFEST
    assert json.loads(path.read_text())["format"] == 1


def test_tuples_are_the_same_as_lists(tmp_path: Path):
    manifest = {"identity": {"layers": (1, 2)}}
    assert create_manifest(tmp_path / "run.json", manifest) == {"identity": {"layers": [1, 2]}, "info": {}}
    create_manifest(tmp_path / "run.json", manifest)


def test_every_differing_field_is_listed(tmp_path: Path):
    path = tmp_path / "run.json"
    create_manifest(path, MANIFEST)
    other = {"identity": {"seed": 2, "sampling": {"temperature": 0.6, "stop": [], "top_k": 20}}}
    with pytest.raises(ConfigError) as caught:
        create_manifest(path, other)
    assert str(tmp_path) in caught.value.faults[0]
    assert "Choose another folder or use the same settings" in caught.value.faults[0]
    assert caught.value.faults[1:] == [
        'sampling.stop: the run has ["a"], this command []',
        "sampling.top_k: the run has nothing, this command 20",
        "seed: the run has 1, this command 2",
    ]


def test_a_field_added_later_is_its_default_where_it_is_absent(tmp_path: Path):
    path = tmp_path / "run.json"
    older = {"identity": {"sampling": {"top_logprobs": 20}}, "info": {}}
    create_manifest(path, older)
    text = path.read_text()
    newer = {"identity": {"sampling": {"top_logprobs": 20, "self_certainty": False}}}
    assert create_manifest(path, newer) == older
    assert path.read_text() == text
    newer["identity"]["sampling"]["self_certainty"] = True
    with pytest.raises(ConfigError, match=r"sampling\.self_certainty: the run has false, this command true"):
        create_manifest(path, newer)
    create_manifest(tmp_path / "other.json", {"identity": {"sampling": {"self_certainty": False}}})
    create_manifest(tmp_path / "other.json", {"identity": {"sampling": {}}})


POLICY = {"type": "transformers", "model": "/a/m", "content_hash": "h", "tokenizer_hash": "t", "commit": None}
HUB = {"type": "transformers", "model": "org/m", "content_hash": None, "tokenizer_hash": "t", "commit": "c"}


@pytest.mark.parametrize(
    ("old", "new", "fields"),
    [
        (POLICY, {"model": "m"}, []),
        (POLICY, {"model": "m", "content_hash": "x"}, ["policy.content_hash", "policy.model"]),
        (POLICY, {"tokenizer_hash": "x"}, ["policy.tokenizer_hash"]),
        (HUB, {"revision": "main"}, []),
        (HUB, {"commit": "d"}, ["policy.commit"]),
        (HUB, {"model": "other/m", "commit": "d"}, ["policy.commit", "policy.model"]),
        # What an older run does not know is not compared; its name is.
        ({**HUB, "commit": None}, {"commit": "c"}, []),
        ({"type": "vllm", "model": "m"}, {"content_hash": "h", "commit": None}, []),
        ({"type": "vllm", "model": "m"}, {"content_hash": "h", "model": "n"}, ["policy.model"]),
    ],
)
def test_a_policy_is_known_by_its_content(
    tmp_path: Path, old: dict[str, object], new: dict[str, object], fields: list[str]
):
    path, revision = tmp_path / "run.json", {"revision": None} if old is HUB else {}
    create_manifest(path, {"identity": {"policy": {**old, **revision}}})
    other = {"identity": {"policy": {**old, **revision, **new}}}
    if not fields:
        create_manifest(path, other)
        return
    with pytest.raises(ConfigError) as caught:
        create_manifest(path, other)
    assert [fault.partition(":")[0] for fault in caught.value.faults[1:]] == fields


def test_problems_are_known_by_their_content(tmp_path: Path):
    path = tmp_path / "run.json"
    create_manifest(path, {"identity": {"problems": {"source": "a.toml", "count": 1, "hash": "h"}}})
    create_manifest(path, {"identity": {"problems": {"source": "/x/a.toml", "count": 1, "hash": "h"}}})
    with pytest.raises(ConfigError, match=r"problems\.source"):
        create_manifest(path, {"identity": {"problems": {"source": "b.toml", "count": 1, "hash": "i"}}})


def test_true_is_not_one_but_one_is_one(tmp_path: Path):
    path = tmp_path / "run.json"
    create_manifest(path, {"identity": {"x": 1}})
    create_manifest(path, {"identity": {"x": 1.0}})
    with pytest.raises(ConfigError, match="x: the run has 1, this command true"):
        create_manifest(path, {"identity": {"x": True}})


def test_what_is_no_manifest_is_refused(tmp_path: Path):
    path = tmp_path / "run.json"
    with pytest.raises(ConfigError, match=r"unknown keys \['other'\]"):
        create_manifest(path, {"other": 1})
    with pytest.raises(ConfigError, match="not JSON"):
        create_manifest(path, {"identity": {"x": float("nan")}})
    with pytest.raises(ConfigError, match=r"not a run folder.*run\.json"):
        read_manifest(path)
    assert list(tmp_path.iterdir()) == []


def test_damaged_and_foreign_manifests_are_named(tmp_path: Path):
    path = tmp_path / "run.json"
    path.write_text('{"format": 1, "ident')
    with pytest.raises(DamagedRunError, match=r"run\.json: it is damaged.*the parts are kept"):
        read_manifest(path)
    for text in ('{"format": 2}', "[]"):
        path.write_text(text)
        with pytest.raises(DataError, match=r"run\.json: format"):
            read_manifest(path)
