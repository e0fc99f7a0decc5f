from typing import Any

import pytest

from nbest.verifying.code.inputs import restore_inputs


@pytest.mark.parametrize(
    ("task_id", "arguments", "expected"),
    [
        ("HumanEval/2", [[1, 2]], ([1, 2],)),
        ("Mbpp/3", [[1, 2]], ([1, 2],)),
        ("Mbpp/2", [[1, 2], [3]], ((1, 2), (3,))),
        ("Mbpp/63", [[[1, 2], [3]]], ([(1, 2), (3,)],)),
        ("Mbpp/75", [[[1, 2]], 3], ([(1, 2)], 3)),
        ("Mbpp/106", [[5], [1, 2]], ([5], (1, 2))),
        ("Mbpp/115", [[[1], {}, []]], ([{1}, {}, {}],)),
        ("Mbpp/124", ["1", "2j"], (1.0, 2j)),
        ("Mbpp/250", [[1, 2], 1], ((1, 2), 1)),
        ("Mbpp/252", ["1+2j"], (1 + 2j,)),
        ("Mbpp/259", [[[1, 2], [3]]], (((1, 2), (3,)),)),
        ("Mbpp/278", [[1, [2, 3]]], ((1, (2, 3)),)),
        ("Mbpp/307", [[1, [2]], 0, 5], ((1, [2]), 0, 5)),
        ("Mbpp/580", [[1, [2, [3]]]], ((1, (2, (3,))),)),
        ("Mbpp/722", [{"a": [1, 2]}, 3], ({"a": (1, 2)}, 3)),
    ],
)
def test_inputs_have_the_types_of_their_task(task_id: str, arguments: list[Any], expected: tuple[Any, ...]) -> None:
    (restored,) = restore_inputs(task_id, [arguments])
    assert repr(restored) == repr(expected)


def test_inputs_of_another_form_are_an_error() -> None:
    with pytest.raises(ValueError, match="Mbpp/2 do not have the form"):
        restore_inputs("Mbpp/2", [[5]])
