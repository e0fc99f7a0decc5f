"""The warm process that programs are forked from: started once per worker, by path, outside any package.

It reads commands from a socket that its parent holds, forks a confined child for each, hands it the files that came
with the command, and reports how the child ended. It never reads a program, an input or a result: a child reads its job
from its own channel, after it is confined. When the socket closes, because the parent ended in whatever way, it kills
its children and ends.

    command   {"start": id, "limits": {...}, "cpu_seconds": n} with four files: stdin, stdout, stderr, channel
              {"kill": id}
              {"end": true}   the parent goes on without this worker
    report    {"exit": id, "code": n | null, "signal": n | null, "cpu_seconds": x, "memory_bytes": n, "excess": text}
              {"fault": id, "message": text}   the child could not be started, or not confined

Standard library only.
"""

import contextlib
import ctypes
import fcntl
import gc
import importlib.machinery
import importlib.util
import json
import mmap
import os
import resource
import select
import signal
import socket
import sys
import time
import traceback

COMMAND_BYTES = 1 << 16
FORK = ctypes.PyDLL(None, use_errno=True).fork
"""The C library's fork, without what Python does in a child for threads that are not there: 0.4 ms per program.

This process has one thread, so there is no lock to renew; and the module random is not seeded again, so that a program
which draws random numbers does the same whenever it runs.
"""
MOST_THREADS = 64
_POLL_SECONDS = 0.02
_PARENT_SECONDS = 5.0
"""How long a parent may take to end after its files are closed."""
_SLOTS, _SLOT_BYTES = 16, 256


def load_sibling(name):
    """Load a file of this folder under a name that no program imports by accident."""
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), name + ".py")
    spec = importlib.util.spec_from_file_location("_nbest_" + name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


class PackageFinder:
    """Finds the packages that programs may import beside the standard library, and no others."""

    def __init__(self, folders):
        self._folders = folders

    def find_spec(self, name, path=None, target=None):  # noqa: ARG002 - the signature of a finder
        folder = self._folders.get(name)
        if folder is None:
            return None
        # Not by importlib's PathFinder, which lists the folder: a program may read the packages, not their neighbours.
        base = os.path.join(folder, name)
        start = os.path.join(base, "__init__.py")
        if os.path.isfile(start):
            return importlib.util.spec_from_file_location(name, start, submodule_search_locations=[base])
        for suffix in (".py", *importlib.machinery.EXTENSION_SUFFIXES):
            if os.path.isfile(base + suffix):
                return importlib.util.spec_from_file_location(name, base + suffix)
        return None


class Child:
    """A running child as its parent sees it. `excess` says which limit it passed that is watched from here."""

    def __init__(self, number, pid, scratch, disk_bytes):
        self.number = number
        self.pid = pid
        self.handle = os.pidfd_open(pid)
        self.scratch = scratch
        self.disk_bytes = disk_bytes
        self.excess = ""
        self.is_killed = False

    def kill(self):
        self.is_killed = True
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def check_disk(self, is_within):
        """Kill the child if its working directory holds more than it may."""
        if self.scratch is not None and not is_within(self.scratch, self.disk_bytes):
            self.excess = "files"
            self.kill()

    def check_threads(self):
        """Kill the child if it has too many threads, where no limit of the kernel counts them."""
        try:
            # Every thread is a folder in there, and each folder is a link to the one above it.
            count = os.stat(f"/proc/{self.pid}/task").st_nlink - 2
        except OSError:
            return
        if count > MOST_THREADS:
            self.excess = "threads"
            self.kill()


class Worker:
    """The loop of the warm process."""

    def __init__(self, settings, confinement, calls, program, scratch):
        self._settings = settings
        self._confinement = confinement
        self._scratch = scratch
        self._program = program
        self._socket = socket.socket(fileno=settings["socket"])
        self._children = {}
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN)
        self._turn = 0
        self._last_limits = None
        self._is_dismissed = False
        self._set_limit = resource.setrlimit
        self._counts_threads = not settings["own_processes"]
        # Here a child says that it is confined, or why it is not; it has no access to this memory afterwards.
        self._page = mmap.mmap(-1, _SLOTS * _SLOT_BYTES)
        self._ruleset = self._make_ruleset(None, False)
        # Only whether there may be more than one process makes a difference.
        self._filters = [confinement.make_filter(*calls, processes) for processes in (1, 2)]

    def _make_ruleset(self, scratch, can_execute):
        if not self._settings["landlock"]:
            return None
        return self._confinement.make_ruleset(self._settings["readable"], scratch, can_execute)

    def serve(self):
        """Serve until the socket closes."""
        while True:
            is_watching = self._counts_threads or any(child.scratch is not None for child in self._children.values())
            is_watching = is_watching and bool(self._children)
            events = self._poll.poll(_POLL_SECONDS * 1000 if is_watching else None)
            for handle, _ in events:
                if handle != self._socket.fileno():
                    self._reap(next(child for child in self._children.values() if child.handle == handle))
                elif not self._read_command():
                    self._end()
                    return
            if is_watching:
                for child in self._children.values():
                    child.check_disk(self._scratch.is_within)
                    if self._counts_threads:
                        child.check_threads()

    def _end(self):
        for child in list(self._children.values()):
            child.kill()
            self._reap(child, is_reporting=False)
        if not self._settings["own_processes"] and self._is_orphan():
            # The folder of all workers: the last of them removes it if nobody else does.
            folder = self._settings["scratch"]
            if os.path.basename(folder).startswith(self._settings["scratch_prefix"]):
                with contextlib.suppress(OSError):
                    os.rmdir(folder)

    def _is_orphan(self):
        """Return whether the parent has ended. The kernel closes its files a moment before that."""
        deadline = time.monotonic() + _PARENT_SECONDS
        while os.getppid() == self._settings["parent"]:
            if self._is_dismissed or time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        return True

    def _read_command(self):
        try:
            data, files, _, _ = socket.recv_fds(self._socket, COMMAND_BYTES, 4)
        except OSError:
            return False
        if not data:
            return False
        command = json.loads(data)
        if "end" in command:
            self._is_dismissed = True
            return False
        if "kill" in command:
            child = self._children.get(command["kill"])
            if child is not None:
                child.kill()
            return True
        try:
            self._start(command, files)
        except OSError as error:
            self._report({"fault": command["start"], "message": f"{type(error).__name__}: {error}"})
        finally:
            for file in files:
                os.close(file)
        return True

    def _start(self, command, files):
        number, limits = command["start"], command["limits"]
        users = self._settings["users"]
        user = None if users is None else users[0] + self._turn % users[1]
        self._turn += 1
        scratch = self._make_scratch(number, user) if limits["disk_bytes"] else None
        counts_processes = users is not None or self._settings["own_users"]
        resource_limits = self._list_limits(limits, command["cpu_seconds"], counts_processes)
        parent = os.getpid()
        slot = number % _SLOTS * _SLOT_BYTES
        self._page[slot : slot + _SLOT_BYTES] = bytes(_SLOT_BYTES)
        pid = FORK()
        if pid < 0:
            raise OSError(ctypes.get_errno(), "fork")
        if not pid:
            self._run_child(parent, limits, resource_limits, files, user, scratch, slot)
        child = Child(number, pid, scratch, limits["disk_bytes"])
        self._children[number] = child
        self._poll.register(child.handle, select.POLLIN)

    def _make_scratch(self, number, user):
        scratch = os.path.join(self._settings["scratch"], f"job-{os.getpid()}-{number}")
        with self._open_scratch():
            os.mkdir(scratch, 0o700)
        if user is not None:
            os.chown(scratch, user, user)
        return scratch

    def _remove_scratch(self, scratch):
        with self._open_scratch():
            self._scratch.remove(scratch)

    @contextlib.contextmanager
    def _open_scratch(self):
        """Make the folder of working directories writable for the moment: a program of the same user cannot do so."""
        folder = self._settings["scratch"]
        os.chmod(folder, 0o755)
        try:
            yield
        finally:
            os.chmod(folder, 0o555 if self._settings["own_processes"] else 0o700)

    def _list_limits(self, limits, cpu_seconds, counts_processes):
        """Return the resource limits of a program; those of the last one are remembered."""
        key = (limits, cpu_seconds)
        if self._last_limits is None or self._last_limits[0] != key:
            self._last_limits = (key, self._confinement.list_limits(limits, cpu_seconds, counts_processes))
        return self._last_limits[1]

    def _run_child(self, parent, limits, resource_limits, files, user, scratch, slot):
        """Confine this process, run the job that its channel brings, and end."""
        try:
            self._confine(parent, limits, resource_limits, files, user, scratch)
            self._page[slot : slot + 1] = b"\1"
        except BaseException as error:  # noqa: BLE001 - whatever it was is reported
            text = f"{type(error).__name__}: {error}".encode()[: _SLOT_BYTES - 1]
            self._page[slot : slot + len(text)] = text
            os._exit(71)
        code = 1
        try:
            self._page.close()
            code = self._program.run(3)
        finally:
            os._exit(code)

    def _confine(self, parent, limits, resource_limits, files, user, scratch):
        confinement = self._confinement
        ruleset = self._ruleset
        if self._needs_own_rules(limits):
            ruleset = self._make_ruleset(scratch, limits["processes"] > 1)
        sources = [fcntl.fcntl(file, fcntl.F_DUPFD, 100) for file in (*files, *([] if ruleset is None else [ruleset]))]
        for number, file in enumerate(sources):
            os.dup2(file, number, inheritable=True)
        os.closerange(4 if ruleset is None else 5, 1 << 16)
        os.chdir(scratch or "/")
        for name, values in resource_limits:
            self._set_limit(name, values)
        confinement.drop_privileges(user)
        confinement.die_with_parent(parent)
        if ruleset is not None:
            confinement.restrict_files(4)
            os.close(4)
        confinement.restrict_calls(self._filters[limits["processes"] > 1])

    def _needs_own_rules(self, limits):
        return bool(limits["disk_bytes"]) or limits["processes"] > 1

    def _reap(self, child, is_reporting=True):
        _, status, used = os.wait4(child.pid, 0)
        self._poll.unregister(child.handle)
        os.close(child.handle)
        del self._children[child.number]
        self._kill_orphans()
        if child.scratch is not None:
            child.check_disk(self._scratch.is_within)
            self._remove_scratch(child.scratch)
        slot = child.number % _SLOTS * _SLOT_BYTES
        state = bytes(self._page[slot : slot + _SLOT_BYTES])
        if state[0] != 1 and not child.is_killed:
            text = state.rstrip(b"\0").decode("utf-8", "replace")
            self._report(
                {"fault": child.number, "message": text or f"it ended before it was confined (status {status})"}
            )
        elif is_reporting:
            self._report(
                {
                    "exit": child.number,
                    "code": os.WEXITSTATUS(status) if os.WIFEXITED(status) else None,
                    "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else None,
                    "cpu_seconds": used.ru_utime + used.ru_stime,
                    "memory_bytes": used.ru_maxrss * 1024,
                    "excess": child.excess,
                }
            )

    def _kill_orphans(self):
        """Kill what a program left behind, where programs can start processes: alone in a process namespace."""
        if self._settings["own_processes"] and not self._children:
            try:
                os.kill(-1, signal.SIGKILL)
            except ProcessLookupError:
                return
            deadline = time.monotonic() + 1.0
            while time.monotonic() < deadline:
                try:
                    if os.waitpid(-1, os.WNOHANG)[0] == 0:
                        time.sleep(0.001)
                except ChildProcessError:
                    return

    def _report(self, report):
        with contextlib.suppress(OSError):
            self._socket.send(json.dumps(report).encode())


def _take_pipes():
    """Put pipes in the place of the standard files, as programs have them: the streams that they inherit know it."""
    reading, writing = os.pipe()
    for file, number in ((reading, 0), (writing, 1), (writing, 2)):
        os.dup2(file, number)
    os.close(reading)
    os.close(writing)


def main():
    settings = json.loads(sys.argv[1])
    own_stderr = os.dup(2)
    confinement, table = load_sibling("confinement"), load_sibling("system_calls")
    load_sibling("values")
    program, scratch = load_sibling("program"), load_sibling("scratch")
    os.environ.clear()
    sys.meta_path.append(PackageFinder(settings["packages"]))
    for name in settings["preload"]:
        __import__(name)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    confinement.LIBC.prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER: what a program leaves behind comes here
    numbers = table.system_calls(os.uname().machine)
    if "random" in sys.modules:
        sys.modules["random"].seed(0)
    confinement.prepare()
    _take_pipes()
    program.prepare()
    program.warm_up()
    worker = Worker(settings, confinement, (numbers, table.CONDITIONAL), program, scratch)
    # What is there now stays as it is in every child: its pages are shared and never collected.
    gc.collect()
    gc.freeze()
    worker._report({"ready": os.getpid(), "landlock": confinement.landlock_version()})
    try:
        worker.serve()
    except BaseException:
        os.write(own_stderr, traceback.format_exc().encode())
        raise


if __name__ == "__main__":
    main()
