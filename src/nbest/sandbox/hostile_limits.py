"""Hostile programs that want too much: processes, time, memory, files, output."""

from nbest.sandbox.executions import Call, Calls, Limits, Outcome, Script
from nbest.sandbox.hostile import SHORT, WITH_FILES, WITH_PROCESSES, HostileProgram, attempt, bomb, ends, is_refused

_TIME, _MEMORY, _FILES, _OUTPUT, _PROCESSES = "time", "memory", "files", "output", "processes"
_WALL = "the wall-clock limit, measured outside, and SIGKILL"
_SPACE = "RLIMIT_AS"
_NO_FORK = "seccomp: no new process"
_NO_FILE = "Landlock, and RLIMIT_FSIZE = 0 (namespaces: also a read-only file system)"
_WATCH = "the size of the working directory, watched by the worker (an entry counts as 4 KiB at least)"
_MANY_FILES = Limits(wall_seconds=8.0, memory_bytes=512 << 20, output_bytes=1 << 20, disk_bytes=1 << 20)


def _has_few_children(outcome: Outcome) -> bool:
    counts = [int(line.split()[1]) for line in outcome.stdout.splitlines() if line.startswith("CHILDREN")]
    return "ESCAPED" not in outcome.stdout and all(count <= 80 for count in counts) and outcome.status != "raised"


def _returns_nothing(outcome: Outcome) -> bool:
    return outcome.status == "finished" and [entry.text for entry in outcome.returns] == [None]


BOMBS: tuple[HostileProgram, ...] = (
    # Processes
    attempt(
        "fork-bomb",
        _PROCESSES,
        "forks for ever",
        _NO_FORK,
        "while True:\n    try:\n        os.fork()\n    except OSError as error:\n"
        "        print('REFUSED', error)\n        break\n",
    ),
    HostileProgram(
        "fork-bomb-within-limits",
        _PROCESSES,
        "forks until the system refuses, where 4 processes are allowed",
        "RLIMIT_NPROC of a user of its own and the control group's number of tasks; unprivileged: more than 1 "
        "is refused",
        Script(
            "import os, sys, time\ncount = 0\nwhile count < 5000:\n    try:\n        pid = os.fork()\n"
            "    except OSError:\n        break\n    if not pid:\n        time.sleep(60)\n        os._exit(0)\n"
            "    count += 1\n"
            "print('CHILDREN', count, flush=True)\nos._exit(0)\n",
        ),
        _has_few_children,
        WITH_PROCESSES,
    ),
    HostileProgram(
        "double-fork-daemon",
        _PROCESSES,
        "leaves a daemon behind: two forks, a session of its own, every file closed",
        "namespaces: all processes of the namespace are killed when the program ends; unprivileged: more than 1 "
        "is refused",
        Script(
            "import os, time\nif not os.fork():\n    os.setsid()\n    if not os.fork():\n        os.closerange(0, 64)\n"
            "        time.sleep(600)\n    os._exit(0)\nprint('CHILDREN 1')\n",
        ),
        lambda outcome: outcome.status in ("finished", "raised") and "ESCAPED" not in outcome.stdout,
        WITH_PROCESSES,
    ),
    HostileProgram(
        "memory-of-many-processes",
        _PROCESSES,
        "takes its memory once per process",
        "RLIMIT_AS per process, and the control group for all of them together where groups can be made",
        Script(
            "import os, sys\nfor _ in range(3):\n    if not os.fork():\n        try:\n"
            "            block = bytearray(400 << 20)\n"
            "            print('ESCAPED', len(block), flush=True)\n        except MemoryError:\n"
            "            print('REFUSED', flush=True)\n        os._exit(0)\nfor _ in range(3):\n    os.wait()\n",
        ),
        lambda outcome: "ESCAPED" not in outcome.stdout and outcome.stdout.count("REFUSED") == 3,
        WITH_PROCESSES,
    ),
    HostileProgram(
        "thread-bomb",
        _PROCESSES,
        "starts threads with tiny stacks until the system refuses",
        "namespaces: RLIMIT_NPROC and the control group; unprivileged: the worker kills a program of more than "
        "64 threads",
        Script(
            "import threading, time\nthreading.stack_size(32768)\ncount = 0\ntry:\n    while count < 20000:\n"
            "        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n        count += 1\n"
            "    print('ESCAPED', count, flush=True)\nexcept RuntimeError:\n    print('REFUSED', flush=True)\n"
            "import os\nos._exit(0)\n",
        ),
        lambda outcome: is_refused(outcome) or ends("killed")(outcome),
    ),
    attempt(
        "start-shell",
        _PROCESSES,
        "starts a shell with subprocess",
        "seccomp: no fork, no vfork, no execve",
        "import subprocess\nattempt(subprocess.run, ['/bin/sh', '-c', 'echo ESCAPED'])\n"
        "attempt(os.execv, '/bin/sh', ['sh', '-c', 'echo ESCAPED'])\n",
        is_harmless=True,
    ),
    # Time
    bomb("busy-loop", _TIME, "loops for ever", _WALL, "while True:\n    pass\n", "timed_out", limits=SHORT),
    bomb("sleep", _TIME, "sleeps for ever", _WALL, "import time\ntime.sleep(10**6)\n", "timed_out", limits=SHORT),
    bomb(
        "ignore-signals",
        _TIME,
        "ignores every signal that can be ignored, then loops",
        "SIGKILL, which cannot be ignored",
        "import signal\nfor number in signal.valid_signals():\n    try:\n"
        "        signal.signal(number, signal.SIG_IGN)\n"
        "    except (OSError, ValueError):\n        pass\nwhile True:\n    pass\n",
        "timed_out",
        limits=SHORT,
    ),
    bomb(
        "stop-itself",
        _TIME,
        "stops its own process, so that it never ends",
        "SIGKILL, which ends a stopped process, too",
        "import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)\n",
        "timed_out",
        limits=SHORT,
    ),
    bomb(
        "burn-cpu-in-threads",
        _TIME,
        "burns processor time in many threads outside the interpreter lock",
        "RLIMIT_CPU and the wall-clock limit",
        "import hashlib, threading\nblock = bytes(64 << 20)\ndef burn():\n    while True:\n"
        "        hashlib.sha256(block)\n"
        "for _ in range(4):\n    threading.Thread(target=burn).start()\n",
        "timed_out",
        limits=SHORT,
    ),
    bomb(
        "hang-at-exit",
        _TIME,
        "ends, and hangs in a function that runs at the exit",
        _WALL,
        "import atexit, time\natexit.register(time.sleep, 10**6)\nprint('done')\n",
        "timed_out",
        limits=SHORT,
    ),
    bomb(
        "hang-in-thread",
        _TIME,
        "ends, and leaves a thread that does not",
        _WALL,
        "import threading, time\nthreading.Thread(target=time.sleep, args=(10**6,)).start()\n",
        "timed_out",
        limits=SHORT,
    ),
    bomb(
        "regular-expression",
        _TIME,
        "matches a pattern that takes exponential time, which no Python signal handler interrupts",
        _WALL,
        "import re\nre.match(r'(a+)+$', 'a' * 64 + 'b')\n",
        "timed_out",
        limits=SHORT,
    ),
    bomb(
        "huge-number-to-text",
        _TIME,
        "writes a number of 100 million digits",
        _WALL,
        "import sys\nsys.set_int_max_str_digits(0)\nprint(len(str(7 ** 120_000_000)))\n",
        "timed_out",
        "out_of_memory",
        limits=SHORT,
    ),
    HostileProgram(
        "hang-in-error-text",
        _TIME,
        "raises an exception whose text never ends",
        _WALL,
        Calls(
            "class Error(Exception):\n    def __str__(self):\n        while True:\n            pass\ndef f():\n"
            "    raise Error\n",
            (Call("f"),),
        ),
        ends("timed_out"),
        SHORT,
    ),
    HostileProgram(
        "wait-for-answer",
        _TIME,
        "never answers a call, but keeps its channel open and writes half a message",
        _WALL,
        Calls(
            "import os, time\ndef f():\n    os.write(3, b'\\xff\\xff\\xff\\xff{')\n    time.sleep(10**6)\n",
            (Call("f"),),
        ),
        ends("timed_out"),
        SHORT,
    ),
    # Memory
    bomb("one-block", _MEMORY, "asks for 100 GB", _SPACE, "block = bytearray(100 << 30)\n", "out_of_memory"),
    bomb(
        "many-blocks",
        _MEMORY,
        "fills a list for ever",
        _SPACE,
        "items = []\nwhile True:\n    items.append(bytearray(100_000))\n",
        "out_of_memory",
    ),
    bomb(
        "shared-mapping",
        _MEMORY,
        "maps shared memory block by block",
        _SPACE,
        "import mmap\nblocks = []\ntry:\n    while True:\n        block = mmap.mmap(-1, 32 << 20)\n"
        "        block[:4096] = bytes(4096)\n        blocks.append(block)\n        if len(blocks) > 64:\n"
        "            print('ESCAPED', flush=True)\nexcept OSError:\n    raise MemoryError from None\n",
        "out_of_memory",
    ),
    bomb(
        "memory-in-threads",
        _MEMORY,
        "takes memory in several threads at once",
        _SPACE,
        "import threading\nerrors = []\ndef fill():\n    items = []\n    try:\n        while True:\n"
        "            items.append(bytearray(1 << 20))\n    except MemoryError as error:\n        errors.append(error)\n"
        "threads = [threading.Thread(target=fill) for _ in range(4)]\nfor thread in threads:\n    thread.start()\n"
        "for thread in threads:\n    thread.join()\nraise errors[0]\n",
        "out_of_memory",
        "killed",
    ),
    attempt(
        "memory-file",
        _MEMORY,
        "makes files in memory (memfd_create), which no limit of the address space counts",
        "seccomp",
        "attempt(os.memfd_create, 'x')\nattempt(call, 447, 447, 0)\n",
        is_harmless=True,
    ),
    attempt(
        "locked-memory",
        _MEMORY,
        "locks its memory, so that the host cannot swap it out",
        "seccomp and RLIMIT_MEMLOCK = 0",
        "attempt(call, 151, 230, 1)\n",
    ),
    attempt(
        "open-files",
        _MEMORY,
        "opens pipes until the system refuses, and fills them",
        "RLIMIT_NOFILE",
        "count = 0\ntry:\n    while count < 500:\n        os.pipe()\n        count += 1\n    print('ESCAPED', count)\n"
        "except OSError as error:\n    print('REFUSED', error)\n",
        is_harmless=True,
    ),
    bomb(
        "endless-recursion",
        _MEMORY,
        "calls itself for ever, without Python's own limit",
        "RLIMIT_STACK and RLIMIT_AS: a signal ends it",
        "import sys\nsys.setrecursionlimit(10**9)\ndef f(x):\n    return sorted([x], key=f)\nf(0)\n",
        "killed",
        "out_of_memory",
        "raised",
    ),
    bomb(
        "inflate-in-program",
        _MEMORY,
        "inflates a zip bomb that it carries",
        _SPACE,
        "import zlib\nbomb = zlib.compress(bytes(1 << 24), 1)\ntext = zlib.decompress(bomb) * 256\n",
        "out_of_memory",
    ),
    # Files
    attempt(
        "write-without-permission",
        _FILES,
        "writes files where none are allowed: its directory, /tmp, /dev/shm, /var/tmp, /run",
        _NO_FILE,
        "for folder in ('.', '/tmp', '/dev/shm', '/var/tmp', '/run'):\n    attempt(open, folder + '/@TOKEN@', 'w')\n"
        "    attempt(os.mkdir, folder + '/@TOKEN@-folder')\n    attempt(os.symlink, '/', folder + '/@TOKEN@-link')\n",
    ),
    attempt(
        "one-large-file",
        _FILES,
        "writes a file without end",
        "RLIMIT_FSIZE",
        "def fill():\n    with open('large', 'wb', buffering=0) as file:\n        for _ in range(64):\n"
        "            if file.write(bytes(1 << 20)) < 1 << 20:\n"
        "                raise OSError(errno.EFBIG, 'short write')\n"
        "attempt(fill)\nos.unlink('large')\n",
        limits=WITH_FILES,
    ),
    attempt(
        "sparse-file",
        _FILES,
        "makes a file of a terabyte that holds nothing",
        "RLIMIT_FSIZE",
        "file = open('sparse', 'wb')\nattempt(file.truncate, 1 << 40)\n"
        "attempt(os.posix_fallocate, file.fileno(), 0, 1 << 40)\n",
        limits=WITH_FILES,
    ),
    bomb(
        "many-files",
        _FILES,
        "writes many files that are small enough each",
        _WATCH,
        "import itertools\nfor number in itertools.count():\n    open(f'file-{number}', 'wb').write(bytes(500_000))\n",
        "too_much_output",
        limits=_MANY_FILES,
    ),
    bomb(
        "empty-files",
        _FILES,
        "makes empty files without end",
        _WATCH,
        "import itertools\nfor number in itertools.count():\n    open(f'file-{number}', 'wb').close()\n",
        "too_much_output",
        limits=_MANY_FILES,
    ),
    bomb(
        "deep-folders",
        _FILES,
        "nests folders deeper than any path is long, so that nobody can list or remove them",
        f"{_WATCH}; the removal needs no long path",
        "import os, time\nfor _ in range(5000):\n    os.mkdir('d')\n    os.chdir('d')\ntime.sleep(60)\n",
        "too_much_output",
        limits=_MANY_FILES,
    ),
    bomb(
        "locked-folders",
        _FILES,
        "hides files in folders without rights",
        f"{_WATCH}; what cannot be listed counts as too much",
        "import os, time\nos.mkdir('d', 0o300)\nfor number in range(5000):\n    open(f'd/{number}', 'wb').close()\n"
        "time.sleep(60)\n",
        "too_much_output",
        limits=_MANY_FILES,
    ),
    bomb(
        "link-loops",
        _FILES,
        "makes links to themselves, to each other and to the root",
        "the removal follows no link; the worker counts links as entries",
        "import os, time\nos.symlink('a', 'a')\nos.symlink('/', 'root')\nos.symlink('.', 'here')\n"
        "for number in range(5000):\n    os.symlink('..', f'up-{number}')\ntime.sleep(60)\n",
        "too_much_output",
        limits=_MANY_FILES,
    ),
    # Output
    bomb(
        "endless-stdout",
        _OUTPUT,
        "prints for ever",
        "the limit of the reader, then SIGKILL",
        "while True:\n    print('x' * 1000)\n",
        "too_much_output",
    ),
    bomb(
        "endless-stderr",
        _OUTPUT,
        "prints for ever to stderr",
        "the limit of the reader, then SIGKILL",
        "import sys\nwhile True:\n    sys.stderr.write('x' * 1000)\n",
        "too_much_output",
    ),
    HostileProgram(
        "endless-value",
        _OUTPUT,
        "returns a text of 8 MB, where 1 MB is allowed",
        "the limit of the reader, then SIGKILL",
        Calls("def f():\n    return 'x' * 8_000_000\n", (Call("f"),)),
        ends("too_much_output"),
    ),
    bomb(
        "endless-frames",
        _OUTPUT,
        "writes small messages to its channel for ever",
        "the limit of the reader, in bytes and in messages, then SIGKILL",
        "import os\nframe = b'\\0\\0\\0\\2{}' * 1000\nwhile True:\n    os.write(3, frame)\n",
        "too_much_output",
    ),
    HostileProgram(
        "garbage-frames",
        _OUTPUT,
        "writes bytes to its channel that are no message",
        "a message that cannot be read ends the program",
        Calls(
            "import os, time\ndef f():\n    os.write(3, b'\\0\\0\\0\\4\\xff\\xfe[{')\n    time.sleep(60)\n",
            (Call("f"),),
        ),
        ends("too_much_output"),
    ),
    HostileProgram(
        "nested-frame",
        _OUTPUT,
        "writes a message that is nested 100,000 deep, to break the parser outside",
        "a message that cannot be read ends the program",
        Calls(
            "import os, struct, time\ndef f():\n    data = b'[' * 100_000\n"
            "    os.write(3, struct.pack('>I', len(data)) + data)\n"
            "    time.sleep(60)\n",
            (Call("f"),),
        ),
        ends("too_much_output"),
    ),
    HostileProgram(
        "nested-value",
        _OUTPUT,
        "returns a list that is nested 10,000 deep",
        "values nest at most 100 deep",
        Calls("def f():\n    x = []\n    for _ in range(10_000):\n        x = [x]\n    return x\n", (Call("f"),)),
        _returns_nothing,
    ),
    HostileProgram(
        "value-that-contains-itself",
        _OUTPUT,
        "returns a list that contains itself",
        "values nest at most 100 deep",
        Calls("def f():\n    x = []\n    x.append(x)\n    return x\n", (Call("f"),)),
        _returns_nothing,
    ),
    HostileProgram(
        "endless-iterator",
        _OUTPUT,
        "returns a list whose iterator never ends",
        "a value is read by the methods of the built-in types, not by its own",
        Calls(
            "class L(list):\n    def __iter__(self):\n        while True:\n            yield 1\n"
            "    def __len__(self):\n        return 10**18\ndef f():\n    return L([1, 2])\n",
            (Call("f"),),
        ),
        lambda outcome: [entry.text and entry.value for entry in outcome.returns] == [[1, 2]],
    ),
)
