"""One worker process for all tests of the room, and the real data where it is there."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nbest.verifying.equivalence import Equivalence

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


@pytest.fixture(scope="session")
def equivalence() -> Iterator[Equivalence]:
    with Equivalence(limit_seconds=10.0) as made:
        yield made


@pytest.fixture(scope="session")
def read_data() -> Any:
    def read(name: str) -> list[dict[str, Any]]:
        path = DATA / name
        if not path.exists():
            pytest.skip(f"{path} is not there: real data is not part of the repository")
        raw = path.read_bytes()
        text = (gzip.decompress(raw) if name.endswith(".gz") else raw).decode()
        return [json.loads(line) for line in text.splitlines() if line]

    return read
