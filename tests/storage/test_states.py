import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import safetensors

from nbest.errors import ConfigError, DamagedRunError, DataError
from nbest.records import HiddenStates, Step
from nbest.storage import states
from nbest.storage.parts import write_part


def make_states(count: int, layers: tuple[int, ...] = (5, 9)) -> HiddenStates:
    # Whole numbers up to 256 are exact in bf16.
    values = np.arange(count * len(layers) * 3, dtype=np.float32).reshape(count, len(layers), 3)
    return HiddenStates(layers, tuple(Step(3 * n, 3 * n + 2) for n in range(count)), values)


def write(folder: Path, by_id: Mapping[str, HiddenStates], origin: dict[str, str] | None = None) -> Path:
    return write_part(folder, states.SUFFIX, states.write_states(by_id, origin or {}, {}))


def assert_equal(actual: HiddenStates, expected: HiddenStates) -> None:
    assert (actual.layers, actual.steps) == (expected.layers, expected.steps)
    assert actual.values.dtype == np.float32
    np.testing.assert_array_equal(actual.values, expected.values)


def test_states_come_back(tmp_path: Path):
    by_id = {"a/b#1": make_states(3), "ü": make_states(1), "no steps": make_states(0)}
    part = states.StatesPart(write(tmp_path, by_id, {"policy": "bundled:arithmetic"}))
    assert list(part.entries) == ["a/b#1", "ü", "no steps"]
    assert part.origin == {"policy": "bundled:arithmetic"}
    assert part.layers == (5, 9)
    for key in reversed(by_id):
        assert_equal(part.read(key), by_id[key])


def test_the_file_is_an_ordinary_safetensors_file(tmp_path: Path):
    path = write(tmp_path, {"a": make_states(2), "b": make_states(1)}, {"norm": "final"})
    tensors = dict(safetensors.deserialize(path.read_bytes()))
    assert sorted(tensors) == ["a/steps", "a/values", "b/steps", "b/values"]
    assert (tensors["a/values"]["dtype"], tensors["a/values"]["shape"]) == ("BF16", [2, 2, 3])
    assert (tensors["a/steps"]["dtype"], tensors["a/steps"]["shape"]) == ("I32", [2, 2])
    assert np.frombuffer(tensors["a/steps"]["data"], dtype="<i4").tolist() == [0, 2, 3, 5]
    # 1.0 in bf16 is 3f80, the upper half of float32 3f800000.
    assert np.frombuffer(tensors["a/values"]["data"], dtype="<u2")[1] == 0x3F80
    with safetensors.safe_open(path, framework="numpy") as file:
        assert file.metadata()["norm"] == "final"
        assert json.loads(file.metadata()["layers"]) == [5, 9]


def test_only_the_header_and_one_trajectory_are_read(tmp_path: Path):
    by_id = {"a": make_states(2), "b": make_states(40)}
    path = write(tmp_path, by_id)
    part = states.StatesPart(path)
    data = bytearray(path.read_bytes())
    data[part.entries["b"].offsets[1]] ^= 1
    path.write_bytes(data)
    reopened = states.StatesPart(path)
    assert_equal(reopened.read("a"), by_id["a"])
    with pytest.raises(DamagedRunError, match=rf"{path.name}.*'b'.*checksum"):
        reopened.read("b")


@pytest.mark.parametrize("keep", [0, 4, 8, 9, 100, -100, -1])
def test_a_part_cut_short_is_named(tmp_path: Path, keep: int):
    path = write(tmp_path, {"a": make_states(9)})
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DamagedRunError, match=rf"{path.name}.*cut short.*Move this file"):
        states.StatesPart(path)


def test_a_part_with_extra_bytes_and_garbage_are_named(tmp_path: Path):
    path = write(tmp_path, {"a": make_states(1)})
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(DamagedRunError, match=path.name):
        states.StatesPart(path)
    path.write_bytes((8).to_bytes(8, "little") + b"notjson!")
    with pytest.raises(DamagedRunError, match=path.name):
        states.StatesPart(path)


def test_no_flipped_bit_goes_unnoticed(tmp_path: Path):
    original = make_states(2)
    path = write(tmp_path, {"a": original})
    data, names = path.read_bytes(), set[bool]()
    for offset in range(0, len(data), 3):
        path.write_bytes(data[:offset] + bytes([data[offset] ^ (1 << offset % 8)]) + data[offset + 1 :])
        try:
            assert_equal(states.StatesPart(path).read("a"), original)
        except DamagedRunError as error:
            names.add(path.name in str(error))
    assert names == {True}


def test_states_that_do_not_fit_are_refused(tmp_path: Path):
    whole = make_states(2)
    with pytest.raises(DataError, match=r"'a': values have the shape \[2, 2, 3\]; it must be \[1 step, 2 layers"):
        write(tmp_path, {"a": HiddenStates(whole.layers, whole.steps[:1], whole.values)})
    with pytest.raises(DataError, match=r"'b': layers \[5\]; all states of a part have the same, here \[5, 9\]"):
        write(tmp_path, {"a": whole, "b": make_states(2, (5,))})
    for origin in ({"layers": "mine"}, {"policy": 3}):
        with pytest.raises(ConfigError, match="states:"):
            write(tmp_path, {"a": whole}, origin)  # pyright: ignore[reportArgumentType]
    assert list(tmp_path.iterdir()) == []


def test_a_part_stamped_with_the_former_name_opens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with monkeypatch.context() as context:
        context.setattr(states, "FORMAT", "bestofn.states/1")
        path = write(tmp_path, {"a": make_states(2)})
    assert b"bestofn.states/1" in path.read_bytes()
    assert_equal(states.StatesPart(path).read("a"), make_states(2))
    assert b"nbest.states/1" in write(tmp_path, {"a": make_states(2)}).read_bytes()


def test_merging_copies_the_bytes_of_each_trajectory(tmp_path: Path):
    first = write(tmp_path, {"a": make_states(2), "b": make_states(1)}, {"norm": "final"})
    second = write(tmp_path, {"c": make_states(3)}, {"norm": "final"})
    parts = [states.StatesPart(path) for path in (first, second)]
    part_of = {key: part for part in parts for key in part.entries if key != "b"}
    writer = states.merge_states(part_of, parts[0].layers, parts[0].origin)
    merged = write_part(tmp_path / "merged", states.SUFFIX, writer)
    direct = write(tmp_path / "direct", {"a": make_states(2), "c": make_states(3)}, {"norm": "final"})
    assert merged.read_bytes() == direct.read_bytes()
