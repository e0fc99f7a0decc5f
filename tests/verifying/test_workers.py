import os
import subprocess
import sys
from pathlib import Path

import pytest

from nbest.errors import EngineError
from nbest.verifying.workers import Reply, WorkerPool

WORKER = """
import json, os, sys, time
print("{}", flush=True)
for line in sys.stdin:
    for request in json.loads(line):
        if request[0] == "sleep":
            time.sleep(60)
        if request[0] == "die":
            os._exit(7)
        if request[0] == "kill":
            os.kill(os.getpid(), 9)
        print(json.dumps({"value": request[0], "note": str(os.getpid()) if request[0] == "pid" else ""}), flush=True)
"""


@pytest.fixture
def worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "echo_worker.py").write_text(WORKER)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return "echo_worker"


def is_running(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    return True


def test_replies_come_in_order_from_a_worker_that_starts_when_it_is_needed(worker: str) -> None:
    with WorkerPool(worker, {}) as pool:
        assert pool.process_ids == []
        assert pool.ask([]) == []
        assert pool.process_ids == []
        assert [reply.value for reply in pool.ask([[number] for number in range(200)])] == list(range(200))
        first = pool.process_ids
        pool.ask([["again"]])
        assert pool.process_ids == first


def test_only_the_request_that_overruns_fails(worker: str) -> None:
    with WorkerPool(worker, {}, limit_seconds=1.0) as pool:
        replies = pool.ask([["a"], ["sleep"], ["b"], ["c"]])
    assert replies == [Reply("a"), Reply(None, "timed out after 1 s"), Reply("b"), Reply("c")]


def test_a_crash_is_one_note(worker: str) -> None:
    with WorkerPool(worker, {}) as pool:
        replies = pool.ask([["die"], ["a"], ["kill"], ["b"]])
    assert replies == [
        Reply(None, "the worker process ended (exit status 7)"),
        Reply("a"),
        Reply(None, "the worker process ended (signal 9)"),
        Reply("b"),
    ]


def test_several_workers_share_a_long_list(worker: str) -> None:
    with WorkerPool(worker, {}, workers=2) as pool:
        replies = pool.ask([["pid"] for _ in range(300)])
    assert len(replies) == 300
    assert all(reply.value == "pid" for reply in replies)


def test_closing_ends_the_processes(worker: str) -> None:
    with WorkerPool(worker, {}) as pool:
        pool.ask([["a"]])
        (process_id,) = pool.process_ids
        assert is_running(process_id)
    assert not is_running(process_id)
    pool.close()
    with pytest.raises(EngineError, match="closed"):
        pool.ask([["a"]])


def test_the_end_of_the_interpreter_ends_the_processes(worker: str) -> None:
    script = f"""
from nbest.verifying.workers import WorkerPool
pool = WorkerPool({worker!r}, {{}})
pool.ask([["a"]])
print(pool.process_ids[0])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not is_running(int(done.stdout))


def test_a_worker_that_cannot_start_says_how_to_see_why() -> None:
    with WorkerPool("nbest.no_such_module", {}) as pool, pytest.raises(EngineError, match="did not start"):
        pool.ask([["a"]])


def test_settings_must_be_positive() -> None:
    with pytest.raises(ValueError, match="must be positive; got 0"):
        WorkerPool("m", {}, workers=0)
