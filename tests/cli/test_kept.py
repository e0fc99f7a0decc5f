"""What is kept of a command that was stopped."""

from pathlib import Path

import pytest

from nbest.cli.kept import describe_kept, forget_written, record_written, remember_runs


@pytest.fixture(autouse=True)
def _begin() -> None:
    forget_written()


def test_nothing_is_kept_of_a_first_sample_that_stored_nothing(tmp_path: Path) -> None:
    words = ["sample", str(tmp_path / "run"), "-c", "arithmetic"]
    remember_runs(words)
    assert describe_kept(words) == "Kept: nothing yet. Run the same command again."
    record_written("sample", 5, 65)
    assert describe_kept(words) == "Kept: sample 5 of 65. Run the same command again to continue."


def test_a_run_that_existed_is_kept(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{}")
    words = ["sample", str(tmp_path), "--n", "9"]
    remember_runs(words)
    assert describe_kept(words) == "Kept: everything that was stored before. Run the same command again to continue."


def test_names_that_no_path_can_have_are_no_runs() -> None:
    words = ["sample", "a\0b", "x" * 5_000]
    remember_runs(words)
    assert describe_kept(words).startswith("Kept: nothing yet.")


def test_the_other_stages_need_a_run() -> None:
    words = ["verify", "run"]
    remember_runs(words)
    assert "everything that was stored before" in describe_kept(words)
