"""All hostile programs, in the order of the documentation."""

from nbest.sandbox.hostile import HostileProgram
from nbest.sandbox.hostile_limits import BOMBS
from nbest.sandbox.hostile_reach import ATTEMPTS
from nbest.sandbox.hostile_results import FORGERIES

HOSTILE_PROGRAMS: tuple[HostileProgram, ...] = (*BOMBS, *ATTEMPTS, *FORGERIES)
