"""Confines the calling process for good: resource limits, no capabilities, Landlock, seccomp.

Called in the process of a program after its fork and before it reads the program. What holds afterwards holds without
any help of that process: the kernel enforces it, and nothing here can be taken back.

    Landlock   no file can be opened but those below `readable`, and below `scratch` where there is one; no TCP, no
               abstract socket and no signal leaves the process (as far as the kernel's version goes)
    seccomp    only the system calls of `system_calls.py`: no socket of any kind (also UDP), no ptrace, no mount, no
               keyring, no io_uring; nothing that changes a file by its name alone (its times, its length, its owner),
               which Landlock leaves to seccomp; a new process only where `processes` is above 1; signals only to itself

Standard library only: the process of a program loads this file by itself.
"""

import ctypes
import os
import resource
import struct

LIBC = ctypes.CDLL(None, use_errno=True)

_PR_SET_PDEATHSIG, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS, _PR_SET_DUMPABLE = 1, 22, 38, 4
_CAPSET = {"x86_64": 126, "aarch64": 91}.get(os.uname().machine, -1)
_NO_CAPABILITIES = (struct.pack("=Ii", 0x20080522, 0), bytes(24))
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
    """Return a Landlock ruleset as an open file: reading below `readable`, everything below `scratch`.

    None without Landlock.
    """
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


def prepare():
    """Set, in the process that programs are forked from, what they all inherit: this makes each fork faster.

    No core files, no locked memory, no queues, no real-time priority, no gain of privileges by a program file, and no
    access to the memory of this process for others of its user.
    """
    for name in (resource.RLIMIT_CORE, resource.RLIMIT_MEMLOCK, resource.RLIMIT_MSGQUEUE, resource.RLIMIT_RTPRIO):
        resource.setrlimit(name, (0, 0))
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    _prctl(_PR_SET_DUMPABLE, 0)


def list_limits(limits, cpu_seconds, counts_processes):
    """Return the resource limits of a program: numbers of limits with their values, at most what is allowed here.

    `limits` are those of `nbest.sandbox.executions.Limits` as a dict.
    """
    values = {
        resource.RLIMIT_AS: limits["memory_bytes"],
        resource.RLIMIT_FSIZE: limits["disk_bytes"],
        resource.RLIMIT_NOFILE: limits["open_files"],
        resource.RLIMIT_CPU: cpu_seconds,
        resource.RLIMIT_SIGPENDING: 128,
    }
    if counts_processes:
        # Threads count as well: a program may have some beside its processes.
        values[resource.RLIMIT_NPROC] = limits["processes"] + 64
    for name, value in values.items():
        _, hard = resource.getrlimit(name)
        values[name] = value if hard == resource.RLIM_INFINITY else min(value, hard)
    return [(name, (value, value)) for name, value in values.items()]


def drop_privileges(user):
    """Become `user` (None: stay), without groups, and drop every capability. Needs `prepare`."""
    if user is not None:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    _call(_CAPSET, _NO_CAPABILITIES[0], _NO_CAPABILITIES[1])


def die_with_parent(parent):
    """Have the kernel kill this process when its parent ends; ends at once if the parent is gone already."""
    _prctl(_PR_SET_PDEATHSIG, 9)
    if os.getppid() != parent:
        os._exit(1)


def restrict_files(ruleset):
    """Apply a ruleset of `make_ruleset` to this process."""
    _call(_LANDLOCK_RESTRICT, ruleset, 0)


def restrict_calls(call_filter):
    """Allow only the system calls of `call_filter` (see `make_filter`) from now on."""
    program = call_filter.replace(_OWN_PID, struct.pack("I", os.getpid()))
    buffer = ctypes.create_string_buffer(program, len(program))
    # struct sock_fprog: the number of instructions and a pointer to them.
    pointer = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(buffer))
    holder = ctypes.create_string_buffer(pointer, len(pointer))
    _prctl(_PR_SET_SECCOMP, 2, ctypes.addressof(holder))


_LOAD, _EQUAL, _GREATER_EQUAL, _ANY_BIT, _AND, _JUMP, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x54, 0x05, 0x06
_ALLOW, _KILL, _ERROR = 0x7FFF0000, 0x80000000, 0x00050000
_EPERM, _ENOSYS, _ENOTTY = 1, 38, 25
_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_PID_MARK = 0x7EDCBA98
_OWN_PID = struct.pack("I", _PID_MARK)
"""Stands for the process id of the program in a filter, so that one filter serves all programs."""
_CLONE_THREAD, _CLONE_NAMESPACES = 0x00010000, 0x7E020080
_TERMINAL_QUERIES = (0x5401, 0x5413, 0x541B, 0x5421, 0x5451, 0x5450)
"""TCGETS, TIOCGWINSZ, FIONREAD, FIONBIO, FIOCLEX, FIONCLEX: what Python asks of a file that may be a terminal."""
_FILE_COMMANDS = (0, 1, 2, 3, 4, 5, 6, 7, 1030, 1032)
"""F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_GETLK, F_SETLK, F_SETLKW, F_DUPFD_CLOEXEC, F_GETPIPE_SZ.

Not F_SETOWN and F_SETSIG, which have the kernel send any signal to any process, nor F_SETLEASE, which delays the host.
"""
_O_TRUNC = 0o1000
_NAMES = (15, 16)
"""PR_SET_NAME and PR_GET_NAME."""


def _op(code, value, jump_true=0, jump_false=0):
    return struct.pack("HBBI", code, jump_true, jump_false, value)


def _argument(index, is_high=False):
    return 16 + 8 * index + (4 if is_high else 0)


def _is_value(index, value, otherwise):
    """Allow if a 32-bit argument has a value, or else return `otherwise`."""
    return [
        _op(_LOAD, _argument(index)),
        _op(_EQUAL, value, 0, 1),
        _op(_RETURN, _ALLOW),
        _op(_RETURN, otherwise),
    ]


def _is_one_of(index, values, otherwise):
    """Allow if a 32-bit argument has one of the values, or else return `otherwise`."""
    checks = [_op(_EQUAL, value, len(values) - at, 0) for at, value in enumerate(values)]
    return [_op(_LOAD, _argument(index)), *checks, _op(_RETURN, otherwise), _op(_RETURN, _ALLOW)]


def _conditional_body(name, processes):
    refused = _ERROR | _EPERM
    if name in ("kill", "tgkill", "tkill"):
        return _is_value(0, _PID_MARK, refused)
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
    if name in ("open", "openat"):
        # Opened for reading, a file must not be truncated (old versions of Landlock allow it); nor opened with the
        # access mode 3, which Landlock takes for no access at all.
        flags = _op(_LOAD, _argument(1 if name == "open" else 2))
        return [
            flags,
            _op(_AND, 3),
            _op(_EQUAL, 3, 4, 0),
            _op(_EQUAL, 0, 0, 2),
            flags,
            _op(_ANY_BIT, _O_TRUNC, 1, 0),
            _op(_RETURN, _ALLOW),
            _op(_RETURN, refused),
        ]
    if name == "ioctl":
        return _is_one_of(1, _TERMINAL_QUERIES, _ERROR | _ENOTTY)
    if name == "fcntl":
        return _is_one_of(1, _FILE_COMMANDS, refused)
    if name == "prctl":
        return _is_one_of(0, _NAMES, refused)
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


def make_filter(system_calls, conditional, processes):
    """Return a filter: `system_calls` (numbers by name) are allowed, those in `conditional` by their arguments.

    All others give EPERM. Making it takes longer than a short program, so it is made once for all of them.
    """
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
    bodies = {
        number: _conditional_body(name, processes) if name in conditional else [_op(_RETURN, _ALLOW)]
        for name, number in system_calls.items()
    }
    refused = [_op(_RETURN, _ERROR | _EPERM)]
    segments = []
    for number in range(max(bodies) + 2):
        body = bodies.get(number, refused)
        if not segments or segments[-1][1] != body:
            segments.append((number, body))
    return b"".join([*lines, *_search(segments)])


def _search(segments):
    """Return the instructions that find the segment of the number loaded by halving, and run its body.

    A segment holds the numbers from its first one to that of the next segment. The kernel tries every number when a
    filter is installed, so a search in order would take most of the time of that.
    """
    if len(segments) == 1:
        return segments[0][1]
    middle = len(segments) // 2
    low, high = _search(segments[:middle]), _search(segments[middle:])
    return [_op(_GREATER_EQUAL, segments[middle][0], 0, 1), _op(_JUMP, len(low)), *low, *high]
