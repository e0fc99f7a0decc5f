"""Content hashes: by name and content, remembered as long as no file changes."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nbest import content_hashes
from nbest.content_hashes import hash_files
from nbest.sampling.model_files import hash_model

SIZE = content_hashes.REMEMBERED_BYTES


def write_old(path: Path, content: bytes) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own; a file that was written just now is remembered, too."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(content_hashes, "SETTLED_SECONDS", -3600.0)
    return tmp_path / "cache" / "nbest" / "content_hashes"


@pytest.fixture
def count_reads(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How many files were hashed so far."""
    calls: list[Path] = []
    open_file = Path.open

    def watch(self: Path, mode: str = "r", *words: Any, **options: Any) -> Any:
        calls.extend([self] if mode == "rb" and self.suffix == ".safetensors" else [])
        return open_file(self, mode, *words, **options)

    monkeypatch.setattr(Path, "open", watch)
    return lambda: len(calls)


def test_the_path_does_not_matter(tmp_path: Path) -> None:
    paths = [write_old(tmp_path / folder / "w.safetensors", b"abc") for folder in ("a", "b")]
    first, second = (hash_files([path]) for path in paths)
    assert first == second == hashlib.sha256(b"w.safetensors\x1f3\x1fabc").hexdigest()
    assert hash_files([write_old(tmp_path / "a" / "v.safetensors", b"abc")]) != first
    assert hash_files([write_old(tmp_path / "a" / "w.safetensors", b"abd")]) != first


def test_a_hash_is_computed_once(cache: Path, tmp_path: Path, count_reads: Callable[[], int]) -> None:
    path = write_old(tmp_path / "m" / "w.safetensors", bytes(SIZE))
    first = hash_files([path])
    assert (hash_files([path]), count_reads()) == (first, 1)
    assert len(list(cache.iterdir())) == 1
    # Another content of the same size, with the same time of modification.
    times = path.stat()
    path.write_bytes(bytes(SIZE - 1) + b"x")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert hash_files([path]) != first
    assert count_reads() == 2


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"files": 1, "hash": 2}'])
def test_a_damaged_cache_is_computed_anew(cache: Path, tmp_path: Path, content: str) -> None:
    path = write_old(tmp_path / "m" / "w.safetensors", bytes(SIZE))
    first = hash_files([path])
    (entry,) = cache.iterdir()
    entry.write_text(content)
    assert hash_files([path]) == first


def test_a_cache_that_cannot_be_written_is_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null")
    path = write_old(tmp_path / "m" / "w.safetensors", bytes(SIZE))
    assert hash_files([path]) == hash_files([path])


def test_a_file_that_has_just_changed_is_not_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    hash_files([write_old(tmp_path / "m" / "w.safetensors", bytes(SIZE))])
    assert not (tmp_path / "cache").exists()


def test_the_bundled_models_have_the_hash_that_their_scorers_record() -> None:
    from nbest.scoring.hidden import load_step_scorer

    scorer = load_step_scorer(Path(content_hashes.__file__).parent / "bundled" / "trajselector")
    assert (scorer.config.states_source or {})["content_hash"] == hash_model("bundled:arithmetic")
