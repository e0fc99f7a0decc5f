"""Claims between objects of one process, between processes, and after a kill."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from nbest.storage.claims import NAME, Claims

HOLDER = """
import sys, time
from pathlib import Path
from nbest.storage.claims import Claims
claims = Claims(Path(sys.argv[1]))
print(claims.take(sys.argv[2]) if sys.argv[3] == "take" else claims.share(sys.argv[2]), flush=True)
time.sleep(60)
"""


def hold(folder: Path, key: str, how: str = "take") -> subprocess.Popen[str]:
    command = [sys.executable, "-c", HOLDER, str(folder), key, how]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline().strip() in ("True", "None")
    return process


def kill(process: subprocess.Popen[str]) -> None:
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()


def test_a_claim_is_busy_for_others_until_it_is_released(tmp_path: Path):
    with Claims(tmp_path) as first, Claims(tmp_path) as second:
        assert first.take("a")
        assert first.take("a")
        assert not second.take("a")
        assert second.take("b")
        first.release(["a", "never taken"])
        assert second.take("a")
        second.release(["a"])
        assert first.take("a")
    assert list(tmp_path.iterdir()) == []


def test_a_shared_key_cannot_be_claimed(tmp_path: Path):
    with Claims(tmp_path) as first, Claims(tmp_path) as second:
        first.share("a")
        second.share("a")
        assert not first.take("a")
        second.close()
        assert first.take("a")
        first.share("a")
        with Claims(tmp_path) as third:
            third.share("a")


def test_claims_of_another_process_end_with_it(tmp_path: Path):
    taker, sharer = hold(tmp_path, "a"), hold(tmp_path, "b", "share")
    with Claims(tmp_path) as claims:
        assert not claims.take("a")
        claims.share("b")
        assert not claims.take("b")
        assert claims.take("c")
        kill(taker)
        assert claims.take("a")
        kill(sharer)
        assert claims.take("b")
    assert not (tmp_path / NAME).exists()


def test_the_file_stays_while_another_process_has_a_claim(tmp_path: Path):
    process = hold(tmp_path, "a")
    with Claims(tmp_path) as claims:
        assert claims.take("b")
    assert (tmp_path / NAME).exists()
    with Claims(tmp_path) as claims:
        assert not claims.take("a")
    kill(process)
    with Claims(tmp_path) as claims:
        assert claims.take("a")
    assert not (tmp_path / NAME).exists()


def test_a_file_that_was_removed_meanwhile_is_made_again(tmp_path: Path):
    with Claims(tmp_path) as claims:
        assert claims.take("a")
        claims.release(["a"])
        (tmp_path / NAME).unlink()
        assert claims.take("b")
        process = hold(tmp_path, "c")
        assert not claims.take("c")
        kill(process)


def test_without_locks_everything_can_be_claimed_and_a_warning_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "lockf", refuse)
    with Claims(tmp_path) as claims:
        with pytest.warns(UserWarning, match="no locks"):
            assert claims.take("a")
        assert claims.take("b")
        claims.share("c")


def test_a_folder_that_cannot_be_written_needs_no_claims(tmp_path: Path):
    with Claims(tmp_path / "absent") as claims:
        assert claims.take("a")
        claims.share("b")
