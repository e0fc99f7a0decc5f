from pathlib import Path

import pytest

from nbest.errors import ConfigError
from nbest.measuring.naming import name_runs


def test_names_are_the_shortest_ends_that_differ():
    assert name_runs([Path("/runs/a")]) == ["a"]
    assert name_runs([Path("/x/a"), Path("/x/b")]) == ["a", "b"]
    assert name_runs([Path("/x/run"), Path("/y/run"), Path("/y/b")]) == ["x/run", "y/run", "y/b"]


def test_a_run_named_twice_is_an_error(tmp_path):
    with pytest.raises(ConfigError, match=r"run .* was named twice"):
        name_runs([tmp_path / "a", tmp_path / "b" / ".." / "a"])
