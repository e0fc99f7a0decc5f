"""A verifier of code: the kind of problem that nbest itself does not grade."""

import re
from collections.abc import Sequence

from nbest.protocols import Verifier
from nbest.records import Problem, Trajectory, Verdict


class PrintedVerifier(Verifier):
    """Reads which number a program prints, without running it, and compares it with the target."""

    async def verify(self, problem: Problem, trajectories: Sequence[Trajectory]) -> list[Verdict]:
        numbers = [re.fullmatch(r"print\((\d+)\)", trajectory.completion.text) for trajectory in trajectories]
        return [
            Verdict(trajectory.id, number is not None and number[1] == problem.target, number[1] if number else None)
            for trajectory, number in zip(trajectories, numbers, strict=True)
        ]
