"""Confines the calling process for good: resource limits, no capabilities, Landlock, seccomp.

Called in the process of a program after its fork and before it reads the program. What holds afterwards holds without
any help of that process: the kernel enforces it, and nothing here can be taken back.

    Landlock   no file can be opened but those below `readable`, and below `scratch` where there is one; no TCP, no
               abstract socket and no signal leaves the process (as far as the kernel's version goes)
    seccomp    only the system calls of `system_calls.py`: no socket of any kind (also UDP), no ptrace, no mount, no
               keyring, no io_uring; a new process only where `processes` is above 1; signals only to itself

Standard library only: the process of a program loads this file by itself.
"""

import ctypes
import os
import resource
import struct

LIBC = ctypes.CDLL(None, use_errno=True)

_PR_SET_PDEATHSIG, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS, _PR_SET_DUMPABLE = 1, 22, 38, 4
_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446
_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
"""How many rights to files each version of Landlock's interface has; later versions have as many as the last."""
_EXECUTE, _READ_FILE, _READ_FOLDER, _WRITE_FILE, _TRUNCATE = 1 << 0, 1 << 2, 1 << 3, 1 << 1, 1 << 14


def landlock_version():
    """Return the version of Landlock's interface that this kernel offers, 0 for none."""
    return max(0, LIBC.syscall(_LANDLOCK_CREATE, None, 0, 1))


def _call(number, *arguments):
    result = LIBC.syscall(number, *arguments)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"system call {number}: {os.strerror(code)}")
    return result


def _prctl(option, *arguments):
    padded = [ctypes.c_ulong(argument) for argument in (*arguments, 0, 0, 0, 0)[:4]]
    if LIBC.prctl(option, *padded) < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"prctl {option}: {os.strerror(code)}")


def make_ruleset(readable, scratch=None, can_execute=False):
    """Return a Landlock ruleset as an open file: reading below `readable`, everything below `scratch`. None without Landlock."""
    version = landlock_version()
    if not version:
        return None
    rights = (1 << _FILE_RIGHTS.get(version, 16)) - 1
    networks = 3 if version >= 4 else 0
    scopes = 3 if version >= 6 else 0
    attributes = struct.pack("QQQ", rights, networks, scopes)[: 8 if version < 4 else 16 if version < 6 else 24]
    ruleset = _call(_LANDLOCK_CREATE, attributes, len(attributes), 0)
    reading = _READ_FILE | _READ_FOLDER | (_EXECUTE if can_execute else 0)
    for path in readable:
        _add_rule(ruleset, path, reading & rights)
    _add_rule(ruleset, "/dev/null", (_READ_FILE | _WRITE_FILE | (_TRUNCATE if version >= 3 else 0)) & rights)
    _add_rule(ruleset, "/dev/urandom", _READ_FILE)
    if scratch is not None:
        _add_rule(ruleset, scratch, rights & ~_EXECUTE)
    return ruleset


def _add_rule(ruleset, path, rights):
    try:
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        if not os.path.isdir(path):
            rights &= _EXECUTE | _READ_FILE | _WRITE_FILE | _TRUNCATE
        _call(_LANDLOCK_ADD, ruleset, 1, struct.pack("=Qi", rights, handle), 0)
    finally:
        os.close(handle)


def set_limits(limits, cpu_seconds, counts_processes):
    """Set the resource limits of this process; `limits` as `nbest.sandbox.executions.Limits` writes them as a dict."""
    values = [
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_AS, limits["memory_bytes"]),
        (resource.RLIMIT_FSIZE, limits["disk_bytes"]),
        (resource.RLIMIT_NOFILE, limits["open_files"]),
        (resource.RLIMIT_CPU, cpu_seconds),
        (resource.RLIMIT_MEMLOCK, 0),
        (resource.RLIMIT_MSGQUEUE, 0),
        (resource.RLIMIT_RTPRIO, 0),
        (resource.RLIMIT_SIGPENDING, 128),
    ]
    if counts_processes:
        # Threads count as well: a program may have some beside its processes.
        values.append((resource.RLIMIT_NPROC, limits["processes"] + 64))
    for name, value in values:
        _, hard = resource.getrlimit(name)
        allowed = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(name, (allowed, allowed))


def drop_privileges(user):
    """Become `user` (None: stay), without groups; drop every capability, and never gain one again."""
    if user is not None:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    header = struct.pack("=Ii", 0x20080522, 0)
    _call({"x86_64": 126, "aarch64": 91}[os.uname().machine], header, bytes(24))
    _prctl(_PR_SET_DUMPABLE, 0)


def die_with_parent(parent):
    """Have the kernel kill this process when its parent ends; ends at once if the parent is gone already."""
    _prctl(_PR_SET_PDEATHSIG, 9)
    if os.getppid() != parent:
        os._exit(1)


def restrict_files(ruleset):
    """Apply a ruleset of `make_ruleset` to this process."""
    _call(_LANDLOCK_RESTRICT, ruleset, 0)


def restrict_calls(system_calls, conditional, processes):
    """Allow only `system_calls` from now on (numbers by name), those in `conditional` by their arguments."""
    program = _make_filter(system_calls, conditional, processes, os.getpid())
    buffer = ctypes.create_string_buffer(program, len(program))
    # struct sock_fprog: the number of instructions and a pointer to them.
    pointer = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(buffer))
    holder = ctypes.create_string_buffer(pointer, len(pointer))
    _prctl(_PR_SET_SECCOMP, 2, ctypes.addressof(holder))


_LOAD, _EQUAL, _GREATER_EQUAL, _ANY_BIT, _AND, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
_ALLOW, _KILL, _ERROR = 0x7FFF0000, 0x80000000, 0x00050000
_EPERM, _ENOSYS, _ENOTTY = 1, 38, 25
_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_CLONE_THREAD, _CLONE_NAMESPACES = 0x00010000, 0x7E020080
_TERMINAL_QUERIES = (0x5401, 0x5413, 0x541B, 0x5421, 0x5451, 0x5450)
"""TCGETS, TIOCGWINSZ, FIONREAD, FIONBIO, FIOCLEX, FIONCLEX: what Python asks of a file that may be a terminal."""


def _op(code, value, jump_true=0, jump_false=0):
    return struct.pack("HBBI", code, jump_true, jump_false, value)


def _argument(index, is_high=False):
    return 16 + 8 * index + (4 if is_high else 0)


def _rule(number, body):
    """Return the instructions for one system call: `body` ends in a return and finds the number loaded."""
    return [_op(_EQUAL, number, 0, len(body)), *body]


def _is_value(index, value, otherwise):
    """Allow if a 32-bit argument has a value, or else return `otherwise`."""
    return [
        _op(_LOAD, _argument(index)),
        _op(_EQUAL, value, 0, 1),
        _op(_RETURN, _ALLOW),
        _op(_RETURN, otherwise),
    ]


def _conditional_body(name, processes, pid):
    refused = _ERROR | _EPERM
    if name in ("kill", "tgkill", "tkill"):
        return _is_value(0, pid, refused)
    if name == "prlimit64":
        return _is_value(0, 0, refused)
    if name == "socketpair":
        # A stream that is connected already: its type without the flags has to be SOCK_STREAM, its family AF_UNIX.
        return [
            _op(_LOAD, _argument(0)),
            _op(_EQUAL, 1, 0, 3),
            _op(_LOAD, _argument(1)),
            _op(_AND, 0xF),
            _op(_EQUAL, 1, 1, 0),
            _op(_RETURN, refused),
            _op(_RETURN, _ALLOW),
        ]
    if name == "sendto":
        # Only without an address.
        return [
            _op(_LOAD, _argument(4)),
            _op(_EQUAL, 0, 0, 3),
            _op(_LOAD, _argument(4, is_high=True)),
            _op(_EQUAL, 0, 0, 1),
            _op(_RETURN, _ALLOW),
            _op(_RETURN, refused),
        ]
    if name == "ioctl":
        checks = [_op(_EQUAL, value, len(_TERMINAL_QUERIES) - at, 0) for at, value in enumerate(_TERMINAL_QUERIES)]
        return [_op(_LOAD, _argument(1)), *checks, _op(_RETURN, _ERROR | _ENOTTY), _op(_RETURN, _ALLOW)]
    if name == "prctl":
        # PR_SET_NAME and PR_GET_NAME.
        return [_op(_LOAD, _argument(0)), _op(_EQUAL, 15, 2, 0), _op(_EQUAL, 16, 1, 0), _op(_RETURN, refused), _op(_RETURN, _ALLOW)]
    if name == "clone3":
        return [_op(_RETURN, _ERROR | _ENOSYS)]
    if name == "clone":
        load = _op(_LOAD, _argument(0))
        is_namespace = [load, _op(_ANY_BIT, _CLONE_NAMESPACES, 0, 1), _op(_RETURN, refused)]
        if processes > 1:
            return [*is_namespace, _op(_RETURN, _ALLOW)]
        return [*is_namespace, _op(_ANY_BIT, _CLONE_THREAD, 0, 1), _op(_RETURN, _ALLOW), _op(_RETURN, refused)]
    # fork, vfork and execve
    return [_op(_RETURN, _ALLOW if processes > 1 else refused)]


def _make_filter(system_calls, conditional, processes, pid):
    machine = os.uname().machine
    lines = [
        _op(_LOAD, 4),
        _op(_EQUAL, _ARCHITECTURES[machine], 1, 0),
        _op(_RETURN, _KILL),
        _op(_LOAD, 0),
    ]
    if machine == "x86_64":
        # Numbers from here on belong to the x32 interface, which no table here describes.
        lines += [_op(_GREATER_EQUAL, 0x40000000, 0, 1), _op(_RETURN, _KILL)]
    for name, number in system_calls.items():
        body = _conditional_body(name, processes, pid) if name in conditional else [_op(_RETURN, _ALLOW)]
        lines += _rule(number, body)
    lines.append(_op(_RETURN, _ERROR | _EPERM))
    return b"".join(lines)
