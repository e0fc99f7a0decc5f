"""Pools of programs for tests of selectors by execution."""

from nbest.programs.tests import StdinTest, write_test
from nbest.records import CodeTask, Completion, Pool, Trajectory


def make_code_pool(*texts, tests=(), public=(), entry_point="f", prefix="", problem_id="p"):
    """A pool of these completions; None has failed. A text that does not name a fence gets one."""
    task = CodeTask(entry_point=entry_point, prefix=prefix, public_tests=tuple(public), generated_tests=tuple(tests))
    trajectories = []
    for index, text in enumerate(texts):
        if text is None:
            completion = Completion("", finish="error", note="failed")
        else:
            completion = Completion(text if "```" in text or not text else f"```python\n{text}\n```", finish="stop")
        trajectories.append(Trajectory(f"{problem_id}#{index}", problem_id, index, index, completion))
    return Pool(problem_id, "Which?", tuple(trajectories), "code", code=task)


def returning(expression):
    """The program of a function f(x) that returns an expression."""
    return f"def f(x):\n    return {expression}"


def stdin_test(stdin, stdout):
    return write_test(StdinTest(stdin, stdout))
