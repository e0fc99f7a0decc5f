"""Output files are whole or not at all, and never inside a run."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nbest.errors import ConfigError, StorageError
from nbest.storage.outputs import check_output, replace_file, replace_folder, write_file
from nbest.storage.run import Run


def test_a_file_is_replaced_and_keeps_its_permissions(tmp_path: Path):
    path = tmp_path / "new" / "x.json"
    write_file(path, "one\n")
    mask = os.umask(0)
    os.umask(mask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~mask
    path.chmod(0o640)
    write_file(path, b"two\n")
    assert path.read_text() == "two\n"
    assert path.stat().st_mode & 0o777 == 0o640
    assert list(path.parent.iterdir()) == [path]


def test_a_failure_leaves_what_was_there(tmp_path: Path):
    path = tmp_path / "x.json"
    write_file(path, "old")

    def fail() -> None:
        with replace_file(path) as temporary:
            temporary.write_text("half")
            raise OSError(28, "No space left on device")

    with pytest.raises(StorageError, match=r"x\.json: cannot be written \(No space left on device\).*unchanged"):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_process_that_is_killed_leaves_what_was_there(tmp_path: Path):
    path = tmp_path / "x.json"
    write_file(path, "old")
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom nbest.storage.outputs import replace_file\n"
        "with replace_file(Path(sys.argv[1])) as temporary:\n"
        "    temporary.write_text('half')\n    print('ready', flush=True)\n    time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGKILL)
    assert path.read_text() == "old"


def test_a_link_stays_and_its_target_is_replaced(tmp_path: Path):
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("old")
    link.symlink_to(target)
    write_file(link, "new")
    assert link.is_symlink()
    assert target.read_text() == "new"


def test_what_is_no_ordinary_file_is_written_to(tmp_path: Path):
    write_file(Path("/dev/null"), "x")
    assert not Path("/dev/null").is_file()
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen(["cat", str(pipe)], stdout=subprocess.PIPE, text=True) as process:
        time.sleep(0.05)
        write_file(pipe, "through a pipe")
        assert process.communicate()[0] == "through a pipe"
    with pytest.raises(StorageError, match="cannot be written"):
        write_file(tmp_path, "x")


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path):
    folder = tmp_path / "model"
    with replace_folder(folder) as temporary:
        (temporary / "weights").write_text("1")
        assert not folder.exists()
    with replace_folder(folder) as temporary:
        (temporary / "config").write_text("2")
    assert [path.name for path in folder.iterdir()] == ["config"]

    def fail() -> None:
        with replace_folder(folder) as temporary:
            (temporary / "weights").write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert [path.name for path in folder.iterdir()] == ["config"]
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize("inner", ["", "x.json", "scores/x.json", "new/deep/x.json"])
def test_a_path_inside_a_run_is_refused(run: Run, inner: str):
    with pytest.raises(ConfigError, match=r"--out: .*run folder.*Choose a path outside"):
        check_output(run.path / inner, "--out")


def test_a_path_beside_a_run_and_its_report_are_allowed(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    check_output(run.path / "report" / "report.html")
    check_output(tmp_path / "x.json")
    (tmp_path / "link").symlink_to(run.path)
    with pytest.raises(ConfigError, match="run folder"):
        check_output(tmp_path / "link" / "x.json")
    monkeypatch.chdir(run.path)
    with pytest.raises(ConfigError, match="run folder"):
        check_output(Path("x.json"))
    check_output(Path("../x.json"))
    (run.path / "run.json").write_text("{")
    (run.path / "trajectories").mkdir()
    with pytest.raises(ConfigError, match="run folder"):
        check_output(Path("x.json"))
    # A file of this name that another program wrote.
    (tmp_path / "run.json").write_text("{}")
    check_output(tmp_path / "y.json")
