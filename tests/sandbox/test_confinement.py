"""The filter of system calls, run by an interpreter of its instructions, for both machines."""

import struct
from unittest import mock

import pytest

from nbest.sandbox import confinement
from nbest.sandbox.confinement import make_filter
from nbest.sandbox.system_calls import CONDITIONAL, system_calls

ALLOW, KILL, EPERM, ENOSYS, ENOTTY = 0x7FFF0000, 0x80000000, 0x50001, 0x50026, 0x50019
ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}


def run_filter(
    program: bytes, number: int, arguments: tuple[int, ...] = (), architecture: int = ARCHITECTURE["x86_64"]
) -> int:
    """Return what a filter decides, as the kernel does it."""
    padded = (*arguments, 0, 0, 0, 0, 0, 0)[:6]
    data = struct.pack("<IIQ6Q", number, architecture, 0, *(value & 2**64 - 1 for value in padded))
    lines = [struct.unpack_from("HBBI", program, at) for at in range(0, len(program), 8)]
    at = value = 0
    while True:
        code, jump_true, jump_false, constant = lines[at]
        at += 1
        if code == 0x20:
            (value,) = struct.unpack_from("<I", data, constant)
        elif code == 0x54:
            value &= constant
        elif code == 0x05:
            at += constant
        elif code == 0x06:
            return constant
        else:
            is_true = {0x15: value == constant, 0x35: value >= constant, 0x45: bool(value & constant)}[code]
            at += jump_true if is_true else jump_false


@pytest.fixture(params=["x86_64", "aarch64"])
def machine(request: pytest.FixtureRequest) -> str:
    return request.param


def build(machine: str, processes: int = 1) -> bytes:
    with mock.patch.object(confinement.os, "uname", return_value=mock.Mock(machine=machine)):
        return make_filter(system_calls(machine), CONDITIONAL, processes)


def test_every_number_is_decided_as_the_table_says(machine: str) -> None:
    program, numbers = build(machine), system_calls(machine)
    allowed = {number for name, number in numbers.items() if name not in CONDITIONAL}
    conditional = {number for name, number in numbers.items() if name in CONDITIONAL}
    for number in range(700):
        if number not in conditional:
            decision = run_filter(program, number, architecture=ARCHITECTURE[machine])
            assert decision == (ALLOW if number in allowed else EPERM), number


def test_other_architectures_end_the_program(machine: str) -> None:
    program = build(machine)
    assert run_filter(program, 0, architecture=0x40000003) == KILL
    if machine == "x86_64":
        assert run_filter(program, 0x40000000) == KILL
        assert run_filter(program, 0x40000029) == KILL


PID = 0x7EDCBA98
CASES = [
    ("kill", (PID, 9), ALLOW, ALLOW),
    ("kill", (PID + 1, 9), EPERM, EPERM),
    ("kill", (-1, 9), EPERM, EPERM),
    ("kill", (0, 9), EPERM, EPERM),
    ("tgkill", (PID, 1, 9), ALLOW, ALLOW),
    ("tgkill", (1, PID, 9), EPERM, EPERM),
    ("prlimit64", (0, 7), ALLOW, ALLOW),
    ("prlimit64", (1, 7), EPERM, EPERM),
    ("socketpair", (1, 1), ALLOW, ALLOW),
    ("socketpair", (1, 1 | 0o2000000 | 0o4000), ALLOW, ALLOW),
    ("socketpair", (1, 2), EPERM, EPERM),
    ("socketpair", (2, 1), EPERM, EPERM),
    ("sendto", (3, 0, 0, 0, 0), ALLOW, ALLOW),
    ("sendto", (3, 0, 0, 0, 1), EPERM, EPERM),
    ("sendto", (3, 0, 0, 0, 1 << 40), EPERM, EPERM),
    ("openat", (-100, 0, 0), ALLOW, ALLOW),
    ("openat", (-100, 0, 0o2000000), ALLOW, ALLOW),
    ("openat", (-100, 0, 0o1101), ALLOW, ALLOW),
    ("openat", (-100, 0, 0o1002), ALLOW, ALLOW),
    ("openat", (-100, 0, 0o1000), EPERM, EPERM),
    ("openat", (-100, 0, 3), EPERM, EPERM),
    ("openat", (-100, 0, 0o1003), EPERM, EPERM),
    ("ioctl", (0, 0x5401), ALLOW, ALLOW),
    ("ioctl", (0, 0x5412), ENOTTY, ENOTTY),
    ("fcntl", (0, 1), ALLOW, ALLOW),
    ("fcntl", (0, 1030), ALLOW, ALLOW),
    ("fcntl", (0, 8), EPERM, EPERM),
    ("fcntl", (0, 10), EPERM, EPERM),
    ("fcntl", (0, 1024), EPERM, EPERM),
    ("fcntl", (0, 1031), EPERM, EPERM),
    ("prctl", (15,), ALLOW, ALLOW),
    ("prctl", (4,), EPERM, EPERM),
    ("clone3", (), ENOSYS, ENOSYS),
    ("clone", (0x3D0F00,), ALLOW, ALLOW),
    ("clone", (17,), EPERM, ALLOW),
    ("clone", (0x10000000 | 0x10000,), EPERM, EPERM),
    ("clone", (0x80 | 17,), EPERM, EPERM),
    ("execve", (), EPERM, ALLOW),
]


@pytest.mark.parametrize(("name", "arguments", "alone", "several"), CASES)
def test_conditions(machine: str, name: str, arguments: tuple[int, ...], alone: int, several: int) -> None:
    number = system_calls(machine)[name]
    for processes, expected in ((1, alone), (2, several)):
        assert run_filter(build(machine, processes), number, arguments, ARCHITECTURE[machine]) == expected


def test_open_is_as_openat_on_the_machine_that_has_it() -> None:
    number = system_calls("x86_64")["open"]
    for flags, expected in ((0, ALLOW), (0o1101, ALLOW), (0o1000, EPERM), (3, EPERM)):
        assert run_filter(build("x86_64"), number, (0, flags)) == expected


def test_every_condition_is_tested() -> None:
    assert {name for name, *_ in CASES} | {"fork", "vfork", "tkill", "open"} == set(CONDITIONAL)


def test_what_must_not_be_in_the_tables(machine: str) -> None:
    forbidden = (
        "socket connect bind listen accept accept4 sendmsg sendmmsg recvmsg recvmmsg ptrace process_vm_readv "
        "mount umount2 "
        "chroot pivot_root unshare setns bpf perf_event_open userfaultfd io_uring_setup keyctl add_key memfd_create "
        "chmod fchmod fchmodat chown fchown setxattr utimensat truncate link linkat open_by_handle_at setuid setresuid "
        "capset seccomp personality execveat pidfd_open pidfd_send_signal rt_sigqueueinfo sched_setscheduler "
        "mknod openat2"
    )
    assert not set(forbidden.split()) & set(system_calls(machine))


def test_tables_have_no_number_twice(machine: str) -> None:
    numbers = list(system_calls(machine).values())
    assert len(numbers) == len(set(numbers))
