import json
from pathlib import Path

import numpy as np
import pytest
import safetensors

from nbest.errors import ConfigError, DamagedRunError, DataError
from nbest.records import HiddenStates, Step
from nbest.storage import states
from nbest.storage.parts import write_part


def make_states(name: str, count: int, layers: tuple[int, ...] = (5, 9)) -> HiddenStates:
    # Whole numbers up to 256 are exact in bf16.
    values = np.arange(count * len(layers) * 3, dtype=np.float32).reshape(count, len(layers), 3)
    return HiddenStates(name, layers, tuple(Step(3 * n, 3 * n + 2) for n in range(count)), values)


def write(folder: Path, given: list[HiddenStates], about: dict[str, str] | None = None) -> Path:
    blocks = [states.make_block(one) for one in given]
    return write_part(folder, states.SUFFIX, states.write_states(blocks, given[0].layers, about or {}))


def assert_equal(ours: HiddenStates, theirs: HiddenStates) -> None:
    assert (ours.trajectory_id, ours.layers, ours.steps) == (theirs.trajectory_id, theirs.layers, theirs.steps)
    assert ours.values.dtype == np.float32
    np.testing.assert_array_equal(ours.values, theirs.values)


def test_states_come_back(tmp_path: Path):
    given = [make_states("a/b#1", 3), make_states("ü", 1), make_states("no steps", 0)]
    part = states.StatesPart(write(tmp_path, given, {"policy": "bundled:arithmetic"}))
    assert list(part.entries) == ["a/b#1", "ü", "no steps"]
    assert part.about == {"policy": "bundled:arithmetic"}
    assert part.layers == (5, 9)
    for one in reversed(given):
        assert_equal(part.read(one.trajectory_id), one)


def test_the_file_is_an_ordinary_safetensors_file(tmp_path: Path):
    given = make_states("a", 2)
    path = write(tmp_path, [given, make_states("b", 1)], {"norm": "final"})
    tensors = dict(safetensors.deserialize(path.read_bytes()))
    assert sorted(tensors) == ["a/steps", "a/values", "b/steps", "b/values"]
    assert (tensors["a/values"]["dtype"], tensors["a/values"]["shape"]) == ("BF16", [2, 2, 3])
    assert (tensors["a/steps"]["dtype"], tensors["a/steps"]["shape"]) == ("I32", [2, 2])
    assert np.frombuffer(tensors["a/steps"]["data"], dtype="<i4").tolist() == [0, 2, 3, 5]
    # 1.0 in bf16 is 3f80, the upper half of float32 3f800000.
    assert np.frombuffer(tensors["a/values"]["data"], dtype="<u2")[1] == 0x3F80
    with safetensors.safe_open(path, framework="numpy") as opened:
        assert opened.metadata()["norm"] == "final"
        assert json.loads(opened.metadata()["layers"]) == [5, 9]


def test_only_the_header_and_what_is_asked_for_is_read(tmp_path: Path):
    given = [make_states("a", 2), make_states("b", 40)]
    path = write(tmp_path, given)
    part = states.StatesPart(path)
    data = bytearray(path.read_bytes())
    data[part.entries["b"].at[1]] ^= 1
    path.write_bytes(data)
    again = states.StatesPart(path)
    assert_equal(again.read("a"), given[0])
    with pytest.raises(DamagedRunError, match=rf"{path.name}.*'b'.*checksum"):
        again.read("b")


@pytest.mark.parametrize("keep", [0, 4, 8, 9, 100, -100, -1])
def test_a_part_cut_short_is_named(tmp_path: Path, keep: int):
    path = write(tmp_path, [make_states("a", 9)])
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DamagedRunError, match=rf"{path.name}.*cut short.*Move this file"):
        states.StatesPart(path)


def test_bytes_too_many_and_garbage_are_named(tmp_path: Path):
    path = write(tmp_path, [make_states("a", 1)])
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(DamagedRunError, match=path.name):
        states.StatesPart(path)
    path.write_bytes((8).to_bytes(8, "little") + b"notjson!")
    with pytest.raises(DamagedRunError, match=path.name):
        states.StatesPart(path)


def test_no_flipped_bit_is_read_as_if_nothing_were(tmp_path: Path):
    given = make_states("a", 2)
    path = write(tmp_path, [given])
    data, names = path.read_bytes(), set[bool]()
    for at in range(0, len(data), 3):
        path.write_bytes(data[:at] + bytes([data[at] ^ (1 << at % 8)]) + data[at + 1 :])
        try:
            assert_equal(states.StatesPart(path).read("a"), given)
        except DamagedRunError as error:
            names.add(path.name in str(error))
    assert names == {True}


def test_what_does_not_fit_is_refused(tmp_path: Path):
    given = make_states("a", 2)
    with pytest.raises(DataError, match=r"'a': values have the shape \[2, 2, 3\]; needed is \[1 steps, 2 layers"):
        states.make_block(HiddenStates("a", given.layers, given.steps[:1], given.values))
    with pytest.raises(DataError, match="twice"):
        write(tmp_path, [given, given])
    for about in ({"layers": "mine"}, {"policy": 3}):
        with pytest.raises(ConfigError, match="states:"):
            write(tmp_path, [given], about)  # pyright: ignore[reportArgumentType]
    assert list(tmp_path.iterdir()) == []
