"""Hostile programs that reach for the host: its files, processes, kernel and network."""

from nbest.sandbox.executions import Limits, Script
from nbest.sandbox.hostile import WITH_FILES, HostileProgram, attempt, ends

_HOST, _PROCESS, _KERNEL, _NETWORK = "host's files", "other processes", "kernel", "network"
_LANDLOCK = "Landlock (namespaces: the file does not exist there)"
_SECCOMP = "seccomp: not in the list of allowed system calls"
_ONLY_ITSELF = (
    "seccomp: a signal only to the own process (also: Landlock's scope; namespaces: no other process is visible)"
)
_NO_SOCKET = "seccomp: no socket of any family (namespaces: also a network without interfaces)"

ATTEMPTS: tuple[HostileProgram, ...] = (
    # Files
    attempt(
        "read-secret",
        _HOST,
        "reads a file of the host whose path it knows",
        _LANDLOCK,
        "attempt(lambda: open('@SECRET_FILE@').read())\n",
        is_harmless=True,
    ),
    attempt(
        "read-system-files",
        _HOST,
        "reads passwords, host name, host keys and the kernel's log",
        _LANDLOCK,
        "for path in ('/etc/passwd', '/etc/shadow', '/etc/hostname', '/etc/ssh/ssh_host_rsa_key', '/dev/kmsg', "
        "'/dev/mem'):\n"
        "    attempt(lambda: open(path, 'rb').read(10))\n",
    ),
    attempt(
        "list-folders",
        _HOST,
        "lists folders of the host",
        _LANDLOCK,
        "for path in ('/home', '/var', '/etc', os.path.dirname('@SECRET_FILE@')):\n    attempt(os.listdir, path)\n",
        is_harmless=True,
    ),
    attempt(
        "link-to-secret",
        _HOST,
        "reads a file of the host through a link in its own directory",
        "Landlock looks at the file that is opened, not at its name",
        "os.symlink('@SECRET_FILE@', 'link')\nattempt(lambda: open('link').read())\n"
        "attempt(os.link, '@SECRET_FILE@', 'hard')\nattempt(lambda: open('../' * 20 + '@SECRET_FILE@').read())\n",
        limits=WITH_FILES,
    ),
    attempt(
        "rename-secret",
        _HOST,
        "moves a file of the host into its own directory, or its own file over it",
        "Landlock",
        "open('own', 'w').close()\nattempt(os.rename, '@SECRET_FILE@', 'taken')\n"
        "attempt(os.rename, 'own', '@SECRET_FILE@')\n"
        "attempt(os.unlink, '@SECRET_FILE@')\n",
        limits=WITH_FILES,
    ),
    attempt(
        "overwrite-files",
        _HOST,
        "writes, appends to and truncates files of the host, among them those of this package",
        "Landlock; seccomp refuses truncation by name, which old versions of Landlock leave open",
        "for path in ('@SECRET_FILE@', '@PACKAGE_FILE@', os.__file__):\n    attempt(open, path, 'a')\n"
        "    attempt(open, path, 'r+')\n    attempt(os.truncate, path, 0)\n",
    ),
    attempt(
        "truncate-by-reading",
        _HOST,
        "truncates files that it opens for reading, or for no access at all",
        "Landlock; seccomp refuses both for its old versions",
        "for path in ('@SECRET_FILE@', os.__file__, '/dev/null'):\n"
        "    attempt(os.open, path, os.O_RDONLY | os.O_TRUNC)\n"
        "    attempt(os.open, path, 3)\n    attempt(os.open, path, 3 | os.O_TRUNC)\n",
    ),
    attempt(
        "change-metadata",
        _HOST,
        "changes times, rights, owner and attributes of files of the host, by name and by an open file",
        "seccomp: Landlock leaves these open",
        "handle = os.open(os.__file__, os.O_RDONLY)\nfor file in ('@SECRET_FILE@', os.__file__, handle):\n"
        "    attempt(os.utime, file, (0, 0))\n    attempt(os.chmod, file, 0o777)\n    attempt(os.chown, file, 1, 1)\n"
        "    attempt(os.setxattr, file, 'user.x', b'x')\n",
    ),
    attempt(
        "lease-file",
        _HOST,
        "takes a lease on a library file, which delays everybody else who opens it for writing",
        "seccomp: only harmless commands of fcntl",
        "import fcntl\nhandle = os.open(os.__file__, os.O_RDONLY)\n"
        "attempt(fcntl.fcntl, handle, fcntl.F_SETLEASE, fcntl.F_RDLCK)\n"
        "attempt(fcntl.fcntl, os.open(os.path.dirname(os.__file__), os.O_RDONLY), fcntl.F_NOTIFY, 2)\n",
    ),
    attempt(
        "read-environment",
        _HOST,
        "looks for secrets in the environment, its own and that of other processes",
        "the worker starts with an empty environment; Landlock closes /proc (namespaces: there is none)",
        "value = os.environ.get('NBEST_BAIT') or LIBC.getenv(b'NBEST_BAIT')\nprint('ESCAPED' if value else 'REFUSED')\n"
        "for path in ('/proc/self/environ', '/proc/1/environ', '/proc/@PARENT@/environ', "
        "f'/proc/{os.getppid()}/environ'):\n"
        "    attempt(lambda: open(path, 'rb').read())\n",
    ),
    attempt(
        "read-proc",
        _HOST,
        "reads /proc: its own memory, other processes, mounts, open files, the kernel's settings",
        "Landlock closes /proc (namespaces: there is none)",
        "for path in ('self/mem', 'self/maps', 'self/mounts', '1/cmdline', '@PARENT@/cmdline', '@PARENT@/mem', "
        "'version',\n"
        "             'sys/kernel/hostname', 'kallsyms', 'net/tcp'):\n"
        "    attempt(lambda: open('/proc/' + path, 'rb').read(1))\n"
        "for path in ('/proc', '/proc/self/fd', '/proc/@PARENT@/fd', '/sys'):\n    attempt(os.listdir, path)\n"
        "attempt(os.readlink, '/proc/@PARENT@/cwd')\n",
    ),
    attempt(
        "inherited-files",
        _HOST,
        "looks for open files that it inherited: sockets of the worker, files of the host",
        "every file but stdin, stdout, stderr and its channel is closed before it is confined",
        "def is_open(file):\n    try:\n        os.fstat(file)\n    except OSError:\n        return False\n"
        "    return True\n"
        "extra = [file for file in range(4, 5000) if is_open(file)]\nprint('ESCAPED' if extra else 'REFUSED', extra)\n",
    ),
    attempt(
        "inherited-memory",
        _HOST,
        "looks for secrets of the host in what its interpreter holds: all objects, and the frames above it",
        "the worker is a fresh process that is told no secret, no input and no answer",
        "import gc\ntexts = []\ndef collect(value, depth=0):\n    if isinstance(value, (str, bytes)):\n"
        "        texts.append(value)\n"
        "    elif isinstance(value, dict) and depth < 6:\n        for item in list(value.items()):\n"
        "            collect(item, depth + 1)\n"
        "    elif isinstance(value, (list, tuple, set)) and depth < 6:\n        for item in list(value):\n"
        "            collect(item, depth + 1)\n"
        "for value in gc.get_objects():\n    collect(value)\n    collect(getattr(value, '__dict__', None))\n"
        "frame = sys._getframe()\nwhile frame:\n    collect(dict(frame.f_locals))\n    frame = frame.f_back\n"
        "word = '@HALF@' + '@OTHER_HALF@'\n"
        "found = [t for t in texts if word in (t if isinstance(t, str) else t.decode('latin-1'))]\n"
        "print('ESCAPED' if [t for t in found if len(t) < 200 and t != word] else 'REFUSED')\n",
    ),
    # Processes
    attempt(
        "signal-others",
        _PROCESS,
        "sends SIGKILL to its parent, to nbest, to a process of the host, to its group and to everybody",
        _ONLY_ITSELF,
        "import signal\nfor pid in (os.getppid(), @PARENT@, @VICTIM@, 0, -1, 1, -@VICTIM@):\n"
        "    attempt(os.kill, pid, signal.SIGKILL)\n"
        "attempt(call, 200, 130, @VICTIM@, 9)\nattempt(call, 234, 131, @VICTIM@, @VICTIM@, 9)\n"
        "attempt(call, 129, 138, @VICTIM@, 9, 0)\n",
    ),
    attempt(
        "signal-by-handle",
        _PROCESS,
        "opens a handle of a process (pidfd) and sends a signal through it, or takes its files",
        _SECCOMP,
        "attempt(os.pidfd_open, @VICTIM@)\nattempt(os.pidfd_open, os.getppid())\nattempt(call, 424, 424, 0, 9, 0, 0)\n"
        "attempt(call, 438, 438, 0, 0, 0)\n",
    ),
    attempt(
        "signal-by-file",
        _PROCESS,
        "has the kernel send SIGKILL to another process when a pipe is written to (F_SETOWN, F_SETSIG, O_ASYNC)",
        "seccomp: only harmless commands of fcntl (also: Landlock's scope)",
        "import fcntl\nreading, writing = os.pipe()\nattempt(fcntl.fcntl, reading, fcntl.F_SETOWN, @VICTIM@)\n"
        "attempt(fcntl.fcntl, reading, 10, 9)\nfcntl.fcntl(reading, fcntl.F_SETFL, os.O_ASYNC)\n"
        "os.write(writing, b'x')\n",
    ),
    attempt(
        "debug-parent",
        _PROCESS,
        "attaches to its parent and to a process of the host with ptrace",
        _SECCOMP,
        "for pid in (os.getppid(), @VICTIM@, @PARENT@):\n    attempt(call, 101, 117, 16, pid, 0, 0)\n"
        "    attempt(call, 101, 117, 0x4206, pid, 0, 0)\n"
        "attempt(call, 101, 117, 0, 0, 0, 0)\n",
    ),
    attempt(
        "read-memory-of-others",
        _PROCESS,
        "reads and writes the memory of its parent (process_vm_readv, process_vm_writev)",
        _SECCOMP,
        "for pid in (os.getppid(), @VICTIM@):\n    attempt(call, 310, 270, pid, 0, 0, 0, 0, 0)\n"
        "    attempt(call, 311, 271, pid, 0, 0, 0, 0, 0)\n",
    ),
    attempt(
        "raise-limits",
        _PROCESS,
        "raises its own limits again, and lowers those of others",
        "a hard limit cannot be raised without a capability; seccomp: prlimit only for itself",
        "import resource\n"
        "for name in (resource.RLIMIT_AS, resource.RLIMIT_CPU, resource.RLIMIT_NOFILE, resource.RLIMIT_FSIZE):\n"
        "    attempt(resource.setrlimit, name, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))\n"
        "attempt(resource.prlimit, os.getppid(), resource.RLIMIT_NOFILE, (1, 1))\n"
        "attempt(resource.prlimit, @VICTIM@, resource.RLIMIT_NOFILE, (1, 1))\n",
    ),
    attempt(
        "change-priority",
        _PROCESS,
        "takes real-time priority, and binds other processes to one core",
        _SECCOMP,
        "attempt(os.sched_setscheduler, 0, os.SCHED_FIFO, os.sched_param(1))\nattempt(os.nice, -10)\n"
        "attempt(os.setpriority, os.PRIO_PROCESS, @VICTIM@, 19)\nattempt(os.sched_setaffinity, @VICTIM@, {0})\n",
    ),
    attempt(
        "shared-ipc",
        _PROCESS,
        "reaches other processes by System V and POSIX queues, semaphores and shared memory",
        _SECCOMP,
        "attempt(call, 29, 194, 1, 4096, 0o1666)\nattempt(call, 68, 186, 1, 0o1666)\n"
        "attempt(call, 64, 190, 1, 1, 0o1666)\n"
        "attempt(call, 240, 180, b'/@TOKEN@', 0o102, 0o666, 0)\n"
        "attempt(open, '/dev/shm/@TOKEN@', 'w')\n",
    ),
    attempt(
        "new-processes-of-any-kind",
        _PROCESS,
        "starts a process with each system call there is, also with clone3 and with namespaces of its own",
        "seccomp: clone only for threads, clone3 does not exist",
        "attempt(call, 56, 220, 17, 0, 0, 0, 0)\nattempt(call, 435, 435, bytes(64), 64)\n"
        "attempt(call, 56, 220, 0x10000011, 0, 0, 0, 0)\nattempt(os.posix_spawn, '/bin/true', ['true'], {})\n"
        "attempt(call, 322, 281, -100, b'/bin/true', 0, 0, 0)\n",
    ),
    # Kernel
    attempt(
        "become-root",
        _KERNEL,
        "becomes another user, or takes capabilities",
        "seccomp, no capabilities, and no_new_privs",
        "attempt(os.setuid, 0)\nattempt(os.setresuid, 0, 0, 0)\nattempt(os.setgroups, [0])\nattempt(os.setgid, 0)\n"
        "attempt(call, 126, 91, struct.pack('=Ii', 0x20080522, 0), b'\\xff' * 24)\n",
    ),
    attempt(
        "mount-and-chroot",
        _KERNEL,
        "mounts, unmounts, changes the root, and leaves its root",
        _SECCOMP,
        "attempt(os.chroot, '.')\nattempt(call, 165, 40, b'none', b'/tmp', b'tmpfs', 0, 0)\n"
        "attempt(call, 166, 39, b'/', 2)\n"
        "attempt(call, 155, 41, b'.', b'.')\nattempt(call, 428, 428, -100, b'/', 1)\n"
        "attempt(call, 430, 430, b'tmpfs', 0)\n"
        "attempt(call, 304, 265, 0, bytes(16), 0)\n",
    ),
    attempt(
        "new-namespaces",
        _KERNEL,
        "makes namespaces, in which it would be root, and enters those of others",
        _SECCOMP,
        "for flag in (0x10000000, 0x20000, 0x40000000, 0x20000000, 0x8000000, 0x80):\n"
        "    attempt(call, 272, 97, flag)\n"
        "attempt(call, 308, 268, 0, 0)\n",
    ),
    attempt(
        "kernel-keyring",
        _KERNEL,
        "reads and adds keys of the user's session",
        _SECCOMP,
        "attempt(call, 248, 217, b'user', b'x', b'y', 1, -3)\nattempt(call, 250, 219, 0, -3, 0)\n"
        "attempt(call, 249, 218, b'user', b'x', 0, -3)\n",
    ),
    attempt(
        "large-kernel-interfaces",
        _KERNEL,
        "opens the interfaces in which most holes of the kernel were: bpf, perf events, io_uring, userfaultfd, "
        "fanotify",
        _SECCOMP,
        "attempt(call, 321, 280, 0, bytes(64), 64)\nattempt(call, 298, 241, bytes(112), 0, -1, -1, 0)\n"
        "attempt(call, 425, 425, 8, bytes(120))\nattempt(call, 426, 426, 0, 0, 0, 0, 0)\nattempt(call, 323, 282, 0)\n"
        "attempt(call, 300, 262, 0, 0)\nattempt(call, 253, 26, 0)\nattempt(call, 312, 272, 1, 1, 0, 0, 0)\n",
    ),
    attempt(
        "change-the-host",
        _KERNEL,
        "sets the clock and the host name, loads modules, restarts the machine, reads the kernel's log",
        f"{_SECCOMP}; no capabilities",
        "attempt(call, 170, 161, b'x', 1)\nattempt(call, 227, 112, 0, bytes(16))\n"
        "attempt(call, 164, 170, bytes(16), 0)\n"
        "attempt(call, 175, 105, b'x', 1, b'')\nattempt(call, 169, 142, 0xFEE1DEAD, 672274793, 0, 0)\n"
        "attempt(call, 103, 116, 3, bytes(100), 100)\n"
        "attempt(call, 246, 104, 0, 0, 0, 0)\nattempt(call, 167, 224, b'/x', 0)\n",
    ),
    attempt(
        "remove-filters",
        _KERNEL,
        "switches seccomp and no_new_privs off, makes itself traceable, changes its personality",
        "they cannot be taken back; seccomp: prctl only for the name of a thread",
        "for option, value in ((22, 0), (38, 0), (4, 1), (1, 0), (36, 0), (0x59616D61, -1)):\n"
        "    attempt(call, 157, 167, option, value, 0, 0, 0)\nattempt(call, 317, 277, 0, 0, 0)\n"
        "attempt(call, 135, 92, 0x0040000)\n"
        "attempt(call, 444, 444, 0, 0, 0)\n",
    ),
    HostileProgram(
        "other-call-numbers",
        _KERNEL,
        "makes system calls by the numbers of 32-bit programs and of x32, which a filter by number may mistake",
        "seccomp: another architecture ends the process",
        Script(
            "import ctypes, mmap, os\nif os.uname().machine != 'x86_64':\n    os.kill(os.getpid(), 9)\n"
            "code = bytes.fromhex('b814000000cd80c3')\nblock = mmap.mmap(-1, 4096, prot=7)\nblock.write(code)\n"
            "address = ctypes.addressof(ctypes.c_char.from_buffer(block))\n"
            "result = ctypes.CFUNCTYPE(ctypes.c_int)(address)()\nprint('ESCAPED', result, flush=True)\n"
        ),
        ends("killed", "out_of_memory"),
    ),
    HostileProgram(
        "x32-call-numbers",
        _KERNEL,
        "makes a system call of the x32 interface",
        "seccomp: these numbers end the process",
        Script(
            "import ctypes, os\nif os.uname().machine != 'x86_64':\n    os.kill(os.getpid(), 9)\n"
            "print('ESCAPED', ctypes.CDLL(None).syscall(ctypes.c_long(0x40000000 + 41), 2, 2, 0), flush=True)\n"
        ),
        ends("killed", "out_of_memory"),
    ),
    attempt(
        "terminal-input",
        _KERNEL,
        "types into the terminal of its parent (TIOCSTI), or makes it its own",
        "seccomp: only queries; a session of its own without a terminal",
        "import fcntl, termios\nfor file in range(3):\n    try:\n"
        "        fcntl.ioctl(file, termios.TIOCSTI, b'x')\n        print('ESCAPED')\n"
        "    except OSError:\n        print('REFUSED')\nattempt(open, '/dev/tty')\nattempt(open, '/dev/console')\n",
    ),
    # Network
    attempt(
        "tcp",
        _NETWORK,
        "connects to a TCP port of this machine, and listens on one",
        _NO_SOCKET,
        "attempt(socket.create_connection, ('127.0.0.1', @TCP_PORT@), 1)\n"
        "attempt(socket.create_server, ('127.0.0.1', 0))\n",
        is_harmless=True,
    ),
    attempt(
        "udp",
        _NETWORK,
        "sends a datagram to a UDP port of this machine",
        _NO_SOCKET,
        "def send():\n"
        "    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', @UDP_PORT@))\nattempt(send)\n",
        is_harmless=True,
    ),
    attempt(
        "dns",
        _NETWORK,
        "looks a name up, which would carry data out with it",
        f"{_NO_SOCKET}; no resolver's settings",
        "attempt(socket.getaddrinfo, 'secret.example.com', 80)\nattempt(socket.gethostbyname, 'example.com')\n",
    ),
    attempt(
        "ipv6",
        _NETWORK,
        "uses IPv6 in place of IPv4",
        _NO_SOCKET,
        "attempt(socket.socket, socket.AF_INET6, socket.SOCK_STREAM)\n"
        "attempt(socket.socket, socket.AF_INET6, socket.SOCK_DGRAM)\n",
        is_harmless=True,
    ),
    attempt(
        "raw-sockets",
        _NETWORK,
        "sends pings and raw packets",
        _NO_SOCKET,
        "attempt(socket.socket, socket.AF_INET, socket.SOCK_RAW, 1)\n"
        "attempt(socket.socket, socket.AF_INET, socket.SOCK_DGRAM, 1)\n"
        "attempt(socket.socket, socket.AF_PACKET, socket.SOCK_RAW)\n",
    ),
    attempt(
        "unix-socket",
        _NETWORK,
        "connects to a unix socket by its path, as that of a container engine or an agent of keys",
        _NO_SOCKET,
        "def connect():\n    socket.socket(socket.AF_UNIX).connect('@UNIX_PATH@')\nattempt(connect)\n",
        is_harmless=True,
    ),
    attempt(
        "abstract-socket",
        _NETWORK,
        "connects to an abstract unix socket, which no file system guards",
        f"{_NO_SOCKET} (also: Landlock's scope)",
        "def connect():\n    socket.socket(socket.AF_UNIX).connect('\\0@ABSTRACT@')\nattempt(connect)\n",
        is_harmless=True,
    ),
    attempt(
        "datagram-pair",
        _NETWORK,
        "makes a pair of connected datagram sockets and sends to another address through it",
        "seccomp: only pairs of streams, and no address when sending",
        "def send():\n    pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)\n"
        "    pair[0].sendto(b'x', '\\0@ABSTRACT@')\nattempt(send)\n"
        "pair = socket.socketpair()\nattempt(pair[0].sendto, b'x', '\\0@ABSTRACT@')\n"
        "attempt(pair[0].connect, '\\0@ABSTRACT@')\n"
        "attempt(pair[0].sendmsg, [b'x'], [], 0, '\\0@ABSTRACT@')\n",
    ),
    attempt(
        "reuse-channel",
        _NETWORK,
        "connects its own channel to somebody else, and passes files through it",
        "seccomp: no connect, no bind, no sendmsg, no recvmsg",
        "channel = socket.socket(fileno=3)\nattempt(channel.connect, '\\0@ABSTRACT@')\n"
        "attempt(channel.bind, '\\0@TOKEN@')\n"
        "attempt(channel.listen)\nattempt(channel.sendmsg, [b'x'])\nattempt(channel.recvmsg, 1)\nchannel.detach()\n",
    ),
    attempt(
        "other-families",
        _NETWORK,
        "opens sockets of other families: netlink, vsock to the hypervisor, Bluetooth, CAN, the kernel's crypto",
        _NO_SOCKET,
        "for family, kind in ((16, 3), (40, 1), (31, 3), (29, 3), (38, 5), (44, 3), (17, 3)):\n"
        "    attempt(socket.socket, family, kind)\n",
    ),
    attempt(
        "many-attempts-at-once",
        _NETWORK,
        "makes attempts in threads that race with each other, as a filter that looks twice could be fooled",
        "seccomp decides by numbers in registers, which no thread can change",
        "import threading\ndef race():\n    for _ in range(50):\n        try:\n            socket.socket()\n"
        "            print('ESCAPED')\n"
        "        except OSError:\n            pass\nthreads = [threading.Thread(target=race) for _ in range(8)]\n"
        "[t.start() for t in threads]\n[t.join() for t in threads]\nprint('REFUSED')\n",
        limits=Limits(wall_seconds=5.0, output_bytes=1 << 20),
    ),
)
