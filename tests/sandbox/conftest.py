"""Sandboxes for the tests of this room: one per backend that works here, for all tests."""

from collections.abc import Iterator

import pytest

from nbest.sandbox.local import LocalSandbox
from nbest.sandbox.opening import BACKENDS, open_sandbox, probe
from nbest.sandbox.proving import Bait


@pytest.fixture(scope="session", params=BACKENDS)
def sandbox(request: pytest.FixtureRequest) -> Iterator[LocalSandbox]:
    obstacle = probe(request.param).obstacle
    if obstacle:
        pytest.skip(f"the backend {request.param} does not work here: {obstacle}")
    opened = open_sandbox(request.param, workers=2)
    assert isinstance(opened, LocalSandbox)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def bait() -> Iterator[Bait]:
    with Bait() as opened:
        yield opened
