import pytest

from nbest.records import Problem
from nbest.verifying.code.errata import find_fault, find_task_id, read_faults


@pytest.mark.parametrize(
    ("problem_id", "meta", "task_id"),
    [
        ("HumanEval/47", {}, "HumanEval/47"),
        ("pools/HumanEval/47", {}, "HumanEval/47"),
        ("x", {"task_id": "Mbpp/2"}, "Mbpp/2"),
        ("x", {"task_id": 164}, "Mbpp/164"),
        ("livecodebench/abc311_c", {}, "abc311_c"),
        ("5", {"question_id": "3194"}, "3194"),
        ("3194", {}, ""),
        ("arithmetic/3194", {}, ""),
    ],
)
def test_ids_of_tasks(problem_id: str, meta: dict[str, object], task_id: str) -> None:
    assert find_task_id(Problem(problem_id, "?", kind="code", meta=meta)) == task_id


def test_every_fault_has_a_source() -> None:
    assert len(read_faults()) >= 20
    assert all(fault.fault and fault.source.startswith("https://") for fault in read_faults().values())
    fault = find_fault(Problem("HumanEval/116", "?", kind="code"))
    assert fault is not None
    assert "contradict the tests" in str(fault)
    assert find_fault(Problem("HumanEval/117", "?", kind="code")) is None
