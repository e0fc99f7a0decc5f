"""`nbest doctor`: what it prints and its exit code, with a few of the attacks."""

import pytest

from nbest.sandbox import diagnosis, opening
from nbest.sandbox.executions import Script
from nbest.sandbox.hostile import HostileProgram, is_refused
from nbest.sandbox.hostile_programs import HOSTILE_PROGRAMS
from nbest.sandbox.opening import BACKENDS, probe

PROGRAMS = tuple(program for program in HOSTILE_PROGRAMS if program.name in ("fork-bomb", "tcp", "equal-to-all"))
LEAK = HostileProgram("leak", "test", "prints what it has read", "nothing", Script("print('ESCAPED')"), is_refused)
WORKING = [backend for backend in BACKENDS if not probe(backend).obstacle]


@pytest.mark.skipif(not WORKING, reason="no isolation works here")
def test_a_machine_that_holds(nbest, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(diagnosis, "HOSTILE_PROGRAMS", PROGRAMS)
    result = nbest("doctor")
    assert result.code == 0
    lines = result.out.splitlines()
    assert lines[0] == f"programs run in: {WORKING[0]}"
    assert sum("3 of 3 attacks held" in line for line in lines) == len(WORKING)
    assert "what stopped it" in result.out
    row = next(line for line in lines if line.startswith("tcp "))
    assert "refused: [Errno 1] Operation not permitted" in row
    assert row.split()[-1] == "yes"


@pytest.mark.skipif(not WORKING, reason="no isolation works here")
def test_an_attack_that_gets_through(nbest, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(diagnosis, "HOSTILE_PROGRAMS", (LEAK,))
    result = nbest("doctor", "--json", "-")
    assert result.code == 7
    assert result.json["auto"] == WORKING[0]
    assert result.json["held"] is False
    report = next(entry for entry in result.json["backends"] if entry["works"])
    assert (report["held"], report["total"]) == (0, 1)
    assert report["proofs"][0]["observed"] == "ESCAPED"
    assert all(entry["held"] for entry in result.json["test_data"])
    assert f"the backend {WORKING[0]} did not hold: leak" in result.err


def test_a_machine_without_isolation(nbest, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(opening, "_find_obstacle", lambda backend: f"{backend} is not installed")
    result = nbest("doctor")
    assert result.code == 5
    assert "programs run in: nothing" in result.out
    assert "what to do: apt install bubblewrap" in result.out
    assert "no isolation works on this machine" in result.err
