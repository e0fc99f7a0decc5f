"""What is remembered of the ids of parts passes over parts, and never over one that has an id."""

import random
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from nbest.errors import DamagedRunError
from nbest.records import Problem, Score, trajectory_id
from nbest.storage import lookup as lookup_module
from nbest.storage import part_index
from nbest.storage.checking import list_temporaries
from nbest.storage.compaction import compact
from nbest.storage.id_hashes import hash_column, hash_texts
from nbest.storage.lookup import PoolLookup
from nbest.storage.part_index import FOLDER, PartIndex
from nbest.storage.run import Run

PARTS = 12


@pytest.fixture(autouse=True)
def _few_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(part_index, "LEAST_PARTS", 1)


def make_run(path: Path, trajectory: Callable) -> Run:
    """Return a run whose pools are spread over many parts in a random order."""
    run = Run.create(path, {"identity": {}, "info": {}})
    keys = [f"p{number:03}" for number in range(PARTS)]
    run.write_problems([Problem(key, f"{key}?") for key in keys])
    names = [(key, index) for key in keys for index in range(3)]
    random.Random(1).shuffle(names)
    for start in range(0, len(names), 3):
        run.append_trajectories([trajectory(*name) for name in names[start : start + 3]])
        run.append_scores("a", [Score(trajectory_id(*name), 0.5) for name in names[start : start + 3]])
    return run


def read_all(run: Run) -> dict[str, tuple[list[str], int]]:
    lookup = PoolLookup(run)
    pools = {problem.id: lookup.read_pool(problem) for problem in run.problems()}
    ids = {key: [trajectory.id for trajectory in pool.trajectories] for key, pool in pools.items()}
    return {key: (names, len(lookup.read_scores("a", names))) for key, names in ids.items()}


def test_later_lookups_open_only_the_parts_that_have_an_id(
    tmp_path: Path, trajectory: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tmp_path / "run", trajectory)
    expected = {key: ([trajectory_id(key, index) for index in range(3)], 3) for key in read_all(run)}
    assert (run.path / FOLDER).is_dir()
    opened: list[Path] = []
    original = lookup_module.read_footer

    def read_footer(path: Path) -> object:
        opened.append(path)
        return original(path)

    monkeypatch.setattr(lookup_module, "read_footer", read_footer)
    lookup = PoolLookup(run)
    (first, *_) = run.problems()
    pool = lookup.read_pool(first)
    assert [trajectory.id for trajectory in pool.trajectories] == expected[first.id][0]
    assert 1 <= len(opened) <= 3
    assert read_all(run) == expected


def test_parts_that_were_added_or_merged_since_are_read(tmp_path: Path, trajectory: Callable) -> None:
    run = make_run(tmp_path / "run", trajectory)
    read_all(run)
    run.append_trajectories([trajectory("p003", 7)])
    expected = [trajectory_id("p003", index) for index in (0, 1, 2, 7)]
    assert read_all(run)["p003"][0] == expected
    compact(run)
    assert read_all(Run.open(run.path))["p003"][0] == expected
    run.check(deep=True)
    assert list_temporaries(run.path) == []


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "text", "folder"])
def test_a_damaged_memory_is_ignored(tmp_path: Path, trajectory: Callable, damage: str) -> None:
    run = make_run(tmp_path / "run", trajectory)
    expected = read_all(run)
    for path in (run.path / FOLDER).iterdir():
        data = path.read_bytes()
        middle = len(data) // 2
        changed = {"cut": data[:middle], "empty": b"", "text": b"no index" * 9}
        changed["flipped"] = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
        if damage == "folder":
            path.unlink()
            path.mkdir()
        else:
            path.write_bytes(changed[damage])
    assert read_all(run) == expected


def test_the_memory_of_another_folder_is_not_used(tmp_path: Path) -> None:
    paths = [tmp_path / f"part-{number}" for number in range(8)]
    first = PartIndex(tmp_path, "scores/a", "trajectory_id")
    for path in paths:
        first.add(path, hash_texts([f"{path.name}/0"]))
    first.save(paths)
    again = PartIndex(tmp_path, "scores/a", "trajectory_id")
    assert again.leave_out(paths, ["part-5/0"]) == [paths[5]]
    assert again.leave_out(paths, ["absent"]) == []
    (written,) = (tmp_path / FOLDER).iterdir()
    other = PartIndex(tmp_path, "scores/b", "trajectory_id")
    written.rename(other._path)
    assert PartIndex(tmp_path, "scores/b", "trajectory_id").leave_out(paths, ["absent"]) == paths


def test_a_small_run_gets_no_memory(tmp_path: Path, trajectory: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(part_index, "LEAST_PARTS", 2)
    run = Run.create(tmp_path / "run", {"identity": {}, "info": {}})
    run.write_problems([Problem("p", "p?")])
    run.append_trajectories([trajectory("p", 0)])
    PoolLookup(run).read_pool(Problem("p", "p?"))
    assert not (run.path / FOLDER).exists()


def test_a_column_and_single_texts_have_the_same_hashes() -> None:
    texts = ["", "a", "b", "ab", "ba", "a", "problem/é中", "x" * 300, "test-17#3"]
    whole = hash_texts(texts)
    assert [int(hash_texts([text])[0]) for text in texts] == whole.tolist()
    assert len(set(whole.tolist())) == len(set(texts))
    column = pa.chunked_array(
        [pa.array(["first", *texts[:4]]).slice(1), pa.array(texts[4:]), pa.array([], pa.string())]
    )
    assert hash_column(column).tolist() == whole.tolist()
    assert hash_texts([]).tolist() == []
    assert len(hash_texts(["\ud800"])) == 1  # no file holds it, and to look for it is no error
    many = hash_texts([f"test-{number}" for number in range(100_000)])
    assert len(set(many.tolist())) > 99_900


def test_what_a_stage_wrote_is_remembered_before_the_first_look(
    tmp_path: Path, trajectory: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tmp_path / "run", trajectory)
    lookup_module.remember_ids(run.path)
    files = sorted((run.path / FOLDER).iterdir())
    assert len(files) == 2  # the trajectories by problem, and the scores
    opened: list[Path] = []
    original = lookup_module.read_footer

    def read_footer(path: Path) -> object:
        opened.append(path)
        return original(path)

    monkeypatch.setattr(lookup_module, "read_footer", read_footer)
    (first, *_) = run.problems()
    assert len(PoolLookup(run).read_pool(first).trajectories) == 3
    assert 1 <= len(opened) <= 3
    contents = [file.read_bytes() for file in files]
    lookup_module.remember_ids(run.path)
    assert [file.read_bytes() for file in files] == contents


def test_a_damaged_part_is_left_to_its_reader(tmp_path: Path, trajectory: Callable) -> None:
    run = make_run(tmp_path / "run", trajectory)
    part = sorted((run.path / "scores" / "a").glob("*.parquet"))[0]
    part.write_bytes(part.read_bytes()[:-9])
    lookup_module.remember_ids(run.path)
    with pytest.raises(DamagedRunError):
        read_all(run)
