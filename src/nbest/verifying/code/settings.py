"""How code is graded: the mode of LiveCodeBench's tests, and the limits of a program."""

from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias, get_args

from nbest.errors import ConfigError

Mode: TypeAlias = Literal["true", "upstream", "both"]
"""How tests of LiveCodeBench's forms run a program.

`true`: as a program of its own that reads stdin. `upstream`: inside a function, with the imports, the imitation of
stdin and the rule for the program's text of LiveCodeBench's own runner. `both`: the verdicts are those of `true`, and
every trajectory that upstream's runner grades otherwise is listed.
"""

MODES: tuple[Mode, ...] = get_args(Mode)


@dataclass(frozen=True, slots=True)
class CodeSettings:
    """The settings of `CodeVerifier`; all times in seconds of wall-clock time.

    `test_seconds` is the limit of one test that reads stdin or calls a function (LiveCodeBench: 6), `check_seconds`
    that of one assertion or `check` function (HumanEval: 3). Where a test has a reference solution, its limit is
    `reference_factor` times what the reference takes on this machine, and at least `least_seconds` (EvalPlus: 4 and 4);
    `total_seconds` limits all calls of one program there (EvalPlus: 60).

    A program that runs beside others may take `slack` times its limit. If it then was over the limit, or was stopped
    without having had the processor for that long, it runs again alone, and that counts.
    """

    mode: Mode = "true"
    test_seconds: float = 6.0
    check_seconds: float = 3.0
    least_seconds: float = 4.0
    reference_factor: float = 4.0
    total_seconds: float = 60.0
    slack: float = 1.5
    memory_bytes: int = 4 << 30
    output_bytes: int = 16 << 20

    def __post_init__(self) -> None:
        faults = [f"mode: got {self.mode!r}; allowed: {', '.join(MODES)}"] if self.mode not in MODES else []
        for name in ("test_seconds", "check_seconds", "least_seconds", "reference_factor", "total_seconds"):
            value = float(getattr(self, name))
            if not value > 0:
                faults.append(f"{name}: got {value}; it must be above 0")
        if not self.slack >= 1:
            faults.append(f"slack: got {self.slack}; it must be at least 1")
        for name, least in (("memory_bytes", 1 << 26), ("output_bytes", 1)):
            if getattr(self, name) < least:
                faults.append(f"{name}: got {getattr(self, name)}; it must be at least {least}")
        if faults:
            raise ConfigError(faults)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)
