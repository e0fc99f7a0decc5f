"""Labelled pairs of our own making, by type; at least half of them are traps that look equal and are not."""

import json
from pathlib import Path
from typing import Any

import pytest

from nbest.verifying.equivalence import Equivalence

_FOLDER = Path(__file__).parent / "pairs"


def read_pairs(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


FILES = {path.stem: read_pairs(path) for path in sorted(_FOLDER.glob("*.jsonl"))}


def test_there_are_enough_pairs_and_half_of_them_are_traps() -> None:
    assert sum(len(pairs) for pairs in FILES.values()) >= 600
    for name, pairs in FILES.items():
        assert sum(not pair["equal"] for pair in pairs) * 2 >= len(pairs), name


@pytest.mark.parametrize("name", FILES)
def test_pairs_have_their_labels(equivalence: Equivalence, name: str) -> None:
    wrong = [
        (pair["a"], pair["b"], pair["equal"])
        for pair in FILES[name]
        for a, b in ((pair["a"], pair["b"]), (pair["b"], pair["a"]))
        if equivalence.compare(a, b, pair.get("kind", "math")).is_equal is not pair["equal"]
    ]
    assert not wrong


@pytest.mark.parametrize("name", FILES)
def test_every_answer_is_the_same_as_itself_and_pairs_are_clustered(equivalence: Equivalence, name: str) -> None:
    for pair in FILES[name]:
        kind = pair.get("kind", "math")
        assert equivalence.same(pair["a"], pair["a"], kind)
        clusters = equivalence.cluster([pair["a"], pair["b"], pair["a"]], kind)
        assert clusters == ([0, 0, 0] if pair["equal"] else [0, 1, 0]), pair
