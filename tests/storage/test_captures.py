from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nbest.errors import UnavailableError
from nbest.protocols import StateSource
from nbest.records import HiddenStates, StatesEntry, Step
from nbest.storage.compaction import compact
from nbest.storage.parts import remove_parts
from nbest.storage.run import Run


def computed(value: float, layers: tuple[int, ...] = (1,)) -> HiddenStates:
    return HiddenStates(layers, (Step(0, 3),), np.full((1, len(layers), 4), value, dtype=np.float32))


def value_of(run: Run, name: str) -> float:
    return float(next(run.states([name])).values[0, 0, 0])


def test_captured_states_are_kept_beside_the_trajectory(run: Run, trajectory: Callable):
    second = trajectory("a", 1, captured=3.0)
    run.append_trajectories([trajectory("a", 0), second], origin={"policy": "tiny"})
    assert run.done_states() == {"a#1"}
    (states,) = run.states(["a#1"])
    assert (states.layers, states.steps) == (second.completion.states.layers, second.completion.states.steps)
    np.testing.assert_array_equal(states.values, second.completion.states.values)
    assert next(run.pools()).trajectories[1].completion.states is None
    assert [part.origin for part in run.states_folder.parts()] == [{"policy": "tiny"}]


def test_states_come_in_the_order_of_the_ids_and_a_missing_one_is_named(run: Run):
    run.append_states({"a#0": computed(1.0), "b#0": computed(2.0, layers=(1, 2)), "c#0": computed(3.0)})
    assert [s.values[0, 0, 0] for s in run.states(["c#0", "a#0", "b#0", "a#0"])] == [3.0, 1.0, 2.0, 1.0]
    assert [s.layers for s in run.states(["b#0"])] == [(1, 2)]
    with pytest.raises(UnavailableError, match=r"no hidden states of 'd#0'.*nbest encode"):
        list(run.states(["a#0", "d#0"]))


def test_the_first_states_of_an_id_are_read(run: Run):
    run.append_states({"a#0": computed(1.0)})
    run.append_states({"a#0": computed(2.0)})
    assert value_of(run, "a#0") == 1.0


def test_states_of_a_killed_process_are_not_those_of_the_next(run: Run, trajectory: Callable):
    # A process wrote its states and was killed before its trajectories; the next one drew other tokens.
    run.append_trajectories([trajectory("a", 0, captured=1.0)])
    remove_parts([*(run.path / "trajectories").iterdir()])
    assert Run.open(run.path).done_states() == set()
    run.append_trajectories([trajectory("a", 0, note="again", captured=2.0)])
    assert run.done_states() == {"a#0"}
    assert value_of(run, "a#0") == 2.0


def test_states_of_the_same_tokens_count_whoever_wrote_them(run: Run, trajectory: Callable):
    run.append_trajectories([trajectory("a", 0, captured=1.0)])
    remove_parts([*(run.path / "trajectories").iterdir()])
    run.append_trajectories([trajectory("a", 0)])
    assert value_of(run, "a#0") == 1.0


def test_of_two_with_one_id_the_states_are_those_of_the_trajectory_that_counts(run: Run, trajectory: Callable):
    run.append_trajectories([trajectory("a", 0, note="x")])
    run.append_trajectories([trajectory("a", 0, captured=2.0)])
    assert next(run.pools()).trajectories[0].completion.note == "x"
    assert run.done_states() == set()
    run.append_states({"a#0": computed(3.0)})
    assert value_of(run, "a#0") == 3.0


def test_new_parts_are_seen_and_old_headers_are_parsed_once(run: Run, monkeypatch: pytest.MonkeyPatch):
    run.append_states({"a#0": computed(1.0)})
    (first,) = run.states_folder.parts()
    run.append_states({"b#0": computed(2.0)})
    assert run.states_folder.parts()[0] is first
    assert run.done_states() == {"a#0", "b#0"}
    monkeypatch.setattr(Path, "stat", None)
    assert len(run.states_folder.parts()) == 2


def test_reading_goes_on_when_a_compaction_replaces_parts(run: Run):
    for value, name in enumerate(("a#0", "b#0", "c#0")):
        run.append_states({name: computed(float(value))})
    stream = run.states(["a#0", "b#0", "c#0"])
    assert next(stream).values[0, 0, 0] == 0.0
    compact(Run.open(run.path))
    assert [states.values[0, 0, 0] for states in stream] == [1.0, 2.0]


def test_the_folder_is_a_source_of_states(run: Run):
    folder = run.states_folder
    assert isinstance(folder, StateSource)
    assert folder.is_empty
    assert folder.find("a#0") is None
    run.append_states({"a#0": computed(1.0, layers=(1, 2))}, {"policy": "tiny"})
    assert not folder.is_empty
    (part,) = folder.parts()
    assert folder.find("a#0") == StatesEntry(1, (1, 2), {"policy": "tiny"}, str(part.path))
    assert folder.find("b#0") is None


def test_states_of_another_process_are_seen_after_a_refresh(run: Run):
    assert run.states_folder.is_empty
    Run.open(run.path).append_states({"a#0": computed(1.0)})
    assert run.states_folder.is_empty
    run.states_folder.refresh()
    assert not run.states_folder.is_empty
