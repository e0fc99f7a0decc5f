"""The stream of tasks: every task once an epoch, the same after a restart, shared by processes without overlap."""

from nbest.training.task_stream import TaskStream
from tests.training.selector_runs import make_tasks

TASKS = make_tasks(7)


def take_ids(stream: TaskStream, count: int) -> list[str]:
    return [task.task_id for _, task in stream.take(count)]


def test_every_epoch_holds_every_task_once_in_an_order_of_its_own() -> None:
    stream = TaskStream(TASKS, seed=1)
    epochs = [take_ids(stream, 7) for _ in range(3)]
    assert all(sorted(epoch) == sorted(task.task_id for task in TASKS) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]


def test_places_count_up_across_epochs_and_takes() -> None:
    stream = TaskStream(TASKS, seed=1)
    indices = [index for count in (3, 1, 6, 5) for index, _ in stream.take(count)]
    assert indices == list(range(15))
    assert stream.position == 15
    assert stream.take(0) == []


def test_the_order_comes_from_the_seed_alone() -> None:
    first = take_ids(TaskStream(TASKS, seed=1), 21)
    assert take_ids(TaskStream(TASKS, seed=1), 21) == first
    assert take_ids(TaskStream(TASKS, seed=2), 21) != first


def test_a_position_set_goes_on_from_there() -> None:
    # 9 is in the second epoch (7 tasks each), 5 behind it is in the first again.
    whole = TaskStream(TASKS, seed=3).take(30)
    stream = TaskStream(TASKS, seed=3)
    for position in (9, 5, 0, 20):
        stream.position = position
        assert stream.take(4) == whole[position : position + 4]


def test_processes_share_the_stream_of_one() -> None:
    # 3 processes, 7 tasks each: places 0 3 6 ..., 1 4 7 ..., 2 5 8 ...: together the first 21 places, each once.
    streams = [TaskStream(TASKS, seed=1, rank=rank, processes=3) for rank in range(3)]
    parts = [stream.take(7) for stream in streams]
    assert [index for index, _ in parts[1]] == [1, 4, 7, 10, 13, 16, 19]
    together = sorted((pair for part in parts for pair in part), key=lambda pair: pair[0])
    assert together == TaskStream(TASKS, seed=1).take(21)
