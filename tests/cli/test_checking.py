"""`nbest check`, and what every command says of a run that is damaged or newer."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from nbest.storage.parts import list_parts
from nbest.storage.run import Run


@pytest.fixture
def scored(nbest, script: Path, tmp_path: Path) -> Path:
    """A sampled, graded and scored run with selections."""
    run = tmp_path / "runs" / "x"
    for words in (["sample", run, "-c", script], ["verify", run], ["select", run, "-s", "majority"]):
        assert nbest(*words).code == 0
    assert nbest("select", run, "-s", "first", "--n", 2).code == 0
    return run


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


def part_of(run: Path, folder: str) -> Path:
    return list_parts(run / folder, ".parquet")[0]


def test_a_sound_run_is_said_to_be(nbest, scored: Path):
    result = nbest("check", scored)
    assert result.code == 0
    files = [path for path in scored.rglob("*") if path.is_file()]
    assert f"{len(files)} of {len(files)} files are sound" in result.out
    assert "note:" not in result.out
    report = nbest("check", scored, "--json", "-").json
    assert report == {
        "run": str(scored),
        "files": len(files),
        "bytes": sum(path.stat().st_size for path in files),
        "faults": [],
        "notes": [],
    }


@pytest.mark.parametrize(
    ("folder", "command"),
    [
        ("trajectories", "sample {run} -c {script}"),
        ("verdicts", "verify {run}"),
        ("selections/majority", "select {run} -s majority"),
        ("selections/first@2", "select {run} -s first --n 2"),
    ],
)
def test_the_commands_it_prints_repair_the_run(nbest, scored: Path, script: Path, folder: str, command: str):
    before = nbest("compare", scored, "-s", "majority", "-s", "first").out
    part = part_of(scored, folder)
    flip(part)
    result = nbest("check", scored, "--json", scored.parent / "check.json")
    assert result.code == 4
    assert f"{part}: its end does not match the checksum" in result.err
    (fault,) = json.loads((scored.parent / "check.json").read_text())["faults"]
    assert fault["stage"] == folder.partition("/")[0]
    move, redo = fault["commands"]
    assert move in result.err
    subprocess.run(move, shell=True, check=True)
    assert not part.exists()
    words = command.format(run=scored, script=script).split()
    # Which settings a run was sampled with is in its manifest; the command names the stage alone.
    assert redo.split()[1 : len(words) + 1] == (["sample", str(scored), "..."] if words[0] == "sample" else words)
    assert nbest(*words).code == 0
    assert nbest("check", scored).code == 0
    assert nbest("compare", scored, "-s", "majority", "-s", "first").out == before


def test_all_faults_are_listed_at_once(nbest, scored: Path):
    (scored / "verdicts" / ".1-x.tmp").write_bytes(b"half")
    names = ["run.json", "problems.parquet"]
    for path in [scored / name for name in names] + [part_of(scored, "trajectories"), part_of(scored, "verdicts")]:
        flip(path)
    result = nbest("check", scored)
    assert result.code == 4
    assert "4 of " in result.err
    assert [f"{scored / name}: " in result.err for name in names] == [True, True]
    assert "temporary files of commands that run now or were killed: 1." in result.out
    assert "Traceback" not in result.err


def test_rows_of_nothing_in_the_run_are_named(nbest, scored: Path):
    part_of(scored, "trajectories").unlink()
    result = nbest("check", scored)
    assert result.code == 0
    assert "verdicts: rows about trajectories that the run does not hold: 20." in result.out


def test_trajectories_of_another_run_are_a_fault(nbest, scored: Path, pools_file: Path):
    other = scored.parent / "y"
    assert nbest("import", "pools", other, pools_file).code == 0
    foreign = part_of(other, "trajectories")
    foreign.rename(scored / "trajectories" / foreign.name)
    result = nbest("check", scored)
    assert result.code == 4
    assert "it holds trajectories of 2 problems that are not among those of this run" in result.err


def test_imported_parts_are_imported_again(nbest, scored: Path, pools_file: Path):
    run = scored.parent / "y"
    assert nbest("import", "pools", run, pools_file).code == 0
    flip(part_of(run, "trajectories"))
    assert f"nbest import pools {run} {pools_file}" in nbest("check", run).err


def test_what_is_no_run_is_refused(nbest, tmp_path: Path):
    assert nbest("check", tmp_path).code == 2
    assert nbest("check", tmp_path / "none").code == 2


@pytest.mark.parametrize("words", [["info"], ["compare"], ["show", "0"], ["export", "--out", "out.jsonl"]])
def test_every_command_names_a_damaged_manifest(nbest, scored: Path, words: list[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(scored.parent)
    path = scored / "run.json"
    path.write_text(path.read_text().replace('"seed": 3', '"seed": 2', 1))
    result = nbest(words[0], scored, *words[1:])
    assert result.code == 4
    assert "its content does not match its checksum" in result.err


def test_a_manifest_may_be_formatted_anew_and_lack_its_checksum(nbest, scored: Path):
    path = scored / "run.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps(manifest, sort_keys=True))
    assert nbest("check", scored).code == 0
    del manifest["checksum"]
    path.write_text(json.dumps(manifest))
    result = nbest("check", scored)
    assert result.code == 0
    assert "note: files of an earlier version, without checksums of all of their bytes: 1." in result.out


@pytest.mark.filterwarnings("default::nbest.storage.newer.NewerVersionWarning")
def test_a_run_of_a_newer_version_says_so(nbest, tmp_path: Path):
    Run.create(tmp_path / "run", {"identity": {}, "info": {"nbest": "99.1"}})
    for command in ("info", "check"):
        result = nbest(command, tmp_path / "run")
        assert result.code == 0
        assert "it was written by nbest 99.1, which is newer than this version" in result.err + result.out


def test_a_run_of_a_newer_format_says_so(nbest, tmp_path: Path):
    run = tmp_path / "run"
    run.mkdir()
    (run / "run.json").write_text('{"format": 2, "identity": {}, "info": {"nbest": "99.1"}, "parts": []}')
    for command in ("info", "check"):
        result = nbest(command, run)
        assert result.code == 3
        assert "format 2 is newer than 1" in result.err
        assert "written by nbest 99.1" in result.err
        assert "pip install -U nbest" in result.err


def test_the_installed_command_exits_with_4(scored: Path):
    flip(part_of(scored, "verdicts"))
    code = "from nbest.cli import main; main()"
    process = subprocess.run(
        [sys.executable, "-c", code, "check", str(scored)], capture_output=True, text=True, check=False
    )
    assert process.returncode == 4
    assert "Traceback" not in process.stderr
