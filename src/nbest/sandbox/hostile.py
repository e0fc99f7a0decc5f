"""Programs that attack: what each tries, what stops it, and what counts as held. Data for a suite that is run for real.

A program that attempts something prints ESCAPED if it got through and REFUSED if the system said no; one that does
neither has proved nothing and counts as not held. A program that wants too much has to end at its limit. For forged
results, the answers decide. What a program does to the host is seen there as well, by `nbest.sandbox.proving.Bait`.

Words between @ signs in a source are replaced by facts of the bait, such as `@SECRET_FILE@`.
"""

from collections.abc import Callable
from dataclasses import dataclass

from nbest.sandbox.executions import Job, Limits, Outcome, Script, Status

PRELUDE = """\
import ctypes, errno, os, socket, struct, sys
LIBC = ctypes.CDLL(None, use_errno=True)
IS_ARM = os.uname().machine == "aarch64"
SAYS_NO = {errno.EPERM, errno.EACCES, errno.ENOENT, errno.EROFS, errno.ESRCH, errno.ENOSYS, errno.ENETUNREACH,
           errno.EAFNOSUPPORT, errno.EAGAIN, errno.EFBIG, errno.EMFILE, errno.ENOMEM, errno.EBADF}

def call(x86, arm, *arguments):
    result = LIBC.syscall(ctypes.c_long(arm if IS_ARM else x86), *arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result

def attempt(function, *arguments):
    try:
        result = function(*arguments)
    except socket.gaierror as error:
        print("REFUSED", error)
    except (OSError, ValueError) as error:
        is_no = isinstance(error, ValueError) or error.errno in SAYS_NO
        print("REFUSED" if is_no else "UNCLEAR", error)
    else:
        print("ESCAPED", repr(result)[:500])
"""
"""Defines `call` (a system call by its numbers) and `attempt`, for the sources of attempts."""

QUICK = Limits(wall_seconds=6.0, memory_bytes=512 << 20, output_bytes=1 << 20)
"""The limits of most cases."""
SHORT = Limits(wall_seconds=1.0, memory_bytes=512 << 20, output_bytes=1 << 20)
"""The limits of cases that have to run out of time."""
WITH_FILES = Limits(wall_seconds=6.0, memory_bytes=512 << 20, output_bytes=1 << 20, disk_bytes=1 << 20)
WITH_PROCESSES = Limits(wall_seconds=6.0, memory_bytes=256 << 20, output_bytes=1 << 20, processes=4)


@dataclass(frozen=True, slots=True)
class HostileProgram:
    """One attack. `group` is a heading of the table; `stopped_by` says what stops it on each backend.

    `is_held` looks at the outcome alone. Where `is_harmless`, the source may run without a sandbox, and then gets
    through: this shows that the case can fail.
    """

    name: str
    group: str
    tries: str
    stopped_by: str
    job: Job
    is_held: Callable[[Outcome], bool]
    limits: Limits = QUICK
    is_harmless: bool = False


def is_refused(outcome: Outcome) -> bool:
    """Return whether every attempt of a program was refused, and at least one was made."""
    return outcome.status == "finished" and "REFUSED" in outcome.stdout and not _shows(outcome, "ESCAPED", "UNCLEAR")


def ends(*statuses: Status) -> Callable[[Outcome], bool]:
    """Return a condition: the program ended at a limit, in one of these ways, and did not get through."""
    return lambda outcome: outcome.status in statuses and not _shows(outcome, "ESCAPED")


def _shows(outcome: Outcome, *words: str) -> bool:
    texts = (outcome.stdout, outcome.stderr, outcome.message)
    return any(word in text for word in words for text in texts)


def attempt(
    name: str,
    group: str,
    tries: str,
    stopped_by: str,
    source: str,
    *,
    limits: Limits = QUICK,
    is_harmless: bool = False,
) -> HostileProgram:
    """Return a case whose program has to be refused."""
    return HostileProgram(name, group, tries, stopped_by, Script(PRELUDE + source), is_refused, limits, is_harmless)


def bomb(
    name: str,
    group: str,
    tries: str,
    stopped_by: str,
    source: str,
    *statuses: Status,
    limits: Limits = QUICK,
) -> HostileProgram:
    """Return a case whose program has to end at a limit."""
    return HostileProgram(name, group, tries, stopped_by, Script(source), ends(*statuses), limits)
