import resource
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from nbest.training.callbacks import LogFile, MemoryTrimmer, append_lines, find_checkpoint, read_lines, truncate_log


@pytest.mark.parametrize(("update", "updates"), [(0, []), (1, [0, 1]), (3, [0, 1, 3]), (9, [0, 1, 3, 4])])
def test_lines_of_updates_that_are_done_again_go(tmp_path: Path, update: int, updates: list[int]) -> None:
    log = tmp_path / "log.jsonl"
    append_lines(log, [{"update": done, "loss": 0.5} for done in (0, 1, 3, 4)])
    truncate_log(log, update)
    assert read_lines(log) == [{"update": done, "loss": 0.5} for done in updates]
    assert list(tmp_path.iterdir()) == [log]


def test_a_line_that_was_cut_is_dropped(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text('{"update": 1, "loss": 0.5}\n{"update": 2, "lo', encoding="utf-8")
    truncate_log(log, 2)
    assert log.read_text(encoding="utf-8") == '{"update": 1, "loss": 0.5}\n'


def test_a_log_that_is_not_there_stays_away(tmp_path: Path) -> None:
    truncate_log(tmp_path / "log.jsonl", 3)
    assert read_lines(tmp_path / "log.jsonl") == []
    assert not (tmp_path / "log.jsonl").exists()


def test_only_the_main_process_writes_the_log(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "out" / "log.jsonl")
    for is_main in (True, False):
        state = SimpleNamespace(global_step=2, is_world_process_zero=is_main)
        log.on_train_begin(None, state, None)
        log.on_log(None, state, None, logs={"loss": 0.25})
    assert read_lines(log.path) == [{"update": 2, "loss": 0.25}]


def test_the_newest_whole_checkpoint_is_found(tmp_path: Path) -> None:
    for number, state in ((2, "{}"), (10, "{}"), (12, '{"cut'), (14, None)):
        folder = tmp_path / f"checkpoint-{number}"
        folder.mkdir()
        if state is not None:
            (folder / "trainer_state.json").write_text(state, encoding="utf-8")
    assert find_checkpoint(tmp_path) == str(tmp_path / "checkpoint-10")
    assert find_checkpoint(tmp_path / "nothing") is None


@pytest.mark.skipif(sys.platform != "linux", reason="malloc_trim is glibc's")
def test_freed_memory_goes_back_to_the_system() -> None:
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

    # 64 MiB in blocks below the size that glibc maps alone; every 64th stays: the heap cannot shrink from its end.
    blocks = [bytearray(4096) for _ in range(2**14)]
    updates, resident_bytes = blocks[::64], resident()
    del blocks
    MemoryTrimmer().on_save(None, None, None)
    assert resident_bytes - resident() > 2**25
    assert len(updates) == 2**8
