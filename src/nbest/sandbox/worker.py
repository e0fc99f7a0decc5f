"""The warm process that programs are forked from: started once per worker, by path, outside any package.

It reads commands from a socket that its parent holds, forks a confined child for each, hands it the files that came with
the command, and reports how the child ended. It never reads a program, an input or a result: a child reads its job from
its own channel, after it is confined. When the socket closes, because the parent ended in whatever way, it kills its
children and ends.

    command   {"start": id, "limits": {...}, "cpu_seconds": n} with four files: stdin, stdout, stderr, channel
              {"kill": id}
    report    {"exit": id, "code": n | null, "signal": n | null, "cpu_seconds": x, "memory_bytes": n, "disk": bool}
              {"fault": id, "message": text}   the child could not be started

Standard library only.
"""

import fcntl
import importlib.machinery
import importlib.util
import json
import os
import select
import shutil
import signal
import socket
import sys
import time

COMMAND_BYTES = 1 << 16
_POLL_SECONDS = 0.02
_BLOCK_BYTES = 4096


def load_sibling(name):
    """Load a file of this folder under a name that no program imports by accident."""
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), name + ".py")
    spec = importlib.util.spec_from_file_location("_nbest_" + name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


class PackageFinder:
    """Finds the packages that programs may import beside the standard library, and no others."""

    def __init__(self, folders):
        self._folders = folders

    def find_spec(self, name, path=None, target=None):
        folder = self._folders.get(name)
        if folder is None:
            return None
        return importlib.machinery.PathFinder.find_spec(name, [folder], target)


class Child:
    """A running child as its parent sees it."""

    def __init__(self, number, pid, scratch, disk_bytes):
        self.number = number
        self.pid = pid
        self.handle = os.pidfd_open(pid)
        self.scratch = scratch
        self.disk_bytes = disk_bytes
        self.is_over_disk = False

    def kill(self):
        try:
            os.kill(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def check_disk(self):
        """Kill the child if its working directory holds more than it may."""
        if self.scratch is not None and count_bytes(self.scratch) > self.disk_bytes:
            self.is_over_disk = True
            self.kill()


def count_bytes(folder):
    """Return the bytes below a folder; an entry counts as one block at least, so that empty files are not free."""
    total = 0
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            try:
                size = os.lstat(os.path.join(parent, name)).st_blocks * 512
            except OSError:
                size = 0
            total += max(size, _BLOCK_BYTES)
    return total


class Worker:
    """The loop of the warm process."""

    def __init__(self, settings, confinement, calls, program):
        self._settings = settings
        self._confinement = confinement
        self._calls = calls
        self._program = program
        self._socket = socket.socket(fileno=settings["socket"])
        self._children = {}
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN)
        self._turn = 0
        self._ruleset = self._make_ruleset(None, False)

    def _make_ruleset(self, scratch, can_execute):
        if not self._settings["landlock"]:
            return None
        return self._confinement.make_ruleset(self._settings["readable"], scratch, can_execute)

    def serve(self):
        """Serve until the socket closes."""
        while True:
            watched = any(child.scratch is not None for child in self._children.values())
            events = self._poll.poll(_POLL_SECONDS * 1000 if watched else None)
            for handle, _ in events:
                if handle != self._socket.fileno():
                    self._reap(next(child for child in self._children.values() if child.handle == handle))
                elif not self._read_command():
                    self._end()
                    return
            if watched:
                for child in self._children.values():
                    child.check_disk()

    def _end(self):
        for child in list(self._children.values()):
            child.kill()
            self._reap(child, is_reporting=False)

    def _read_command(self):
        try:
            data, files, _, _ = socket.recv_fds(self._socket, COMMAND_BYTES, 4)
        except OSError:
            return False
        if not data:
            return False
        command = json.loads(data)
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
        parent = os.getpid()
        pid = os.fork()
        if not pid:
            code = 71
            try:
                code = self._run_child(parent, command, files, user, scratch)
            finally:
                os._exit(code)
        child = Child(number, pid, scratch, limits["disk_bytes"])
        self._children[number] = child
        self._poll.register(child.handle, select.POLLIN)

    def _make_scratch(self, number, user):
        scratch = os.path.join(self._settings["scratch"], f"job-{os.getpid()}-{number}")
        os.mkdir(scratch, 0o700)
        if user is not None:
            os.chown(scratch, user, user)
        return scratch

    def _run_child(self, parent, command, files, user, scratch):
        """Confine this process and run the job that its channel brings; returns its exit status."""
        limits = command["limits"]
        confinement = self._confinement
        ruleset = self._make_ruleset(scratch, limits["processes"] > 1) if self._needs_own_rules(limits) else self._ruleset
        sources = [fcntl.fcntl(file, fcntl.F_DUPFD, 100) for file in (*files, *([] if ruleset is None else [ruleset]))]
        for number, file in enumerate(sources):
            os.dup2(file, number, inheritable=True)
        os.closerange(4 if ruleset is None else 5, 1 << 16)
        os.chdir(scratch or "/")
        os.setsid()
        confinement.set_limits(limits, command["cpu_seconds"], user is not None or self._settings["own_users"])
        confinement.drop_privileges(user)
        confinement.die_with_parent(parent)
        if ruleset is not None:
            confinement.restrict_files(4)
            os.close(4)
        confinement.restrict_calls(*self._calls, limits["processes"])
        return self._program.run(3)

    def _needs_own_rules(self, limits):
        return bool(limits["disk_bytes"]) or limits["processes"] > 1

    def _reap(self, child, is_reporting=True):
        _, status, used = os.wait4(child.pid, 0)
        self._poll.unregister(child.handle)
        os.close(child.handle)
        del self._children[child.number]
        self._kill_orphans()
        if child.scratch is not None:
            child.is_over_disk = child.is_over_disk or count_bytes(child.scratch) > child.disk_bytes
            shutil.rmtree(child.scratch, ignore_errors=True)
        if is_reporting:
            self._report(
                {
                    "exit": child.number,
                    "code": os.WEXITSTATUS(status) if os.WIFEXITED(status) else None,
                    "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else None,
                    "cpu_seconds": used.ru_utime + used.ru_stime,
                    "memory_bytes": used.ru_maxrss * 1024,
                    "disk": child.is_over_disk,
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
        try:
            self._socket.send(json.dumps(report).encode())
        except OSError:
            pass


def main():
    settings = json.loads(sys.argv[1])
    confinement, table = load_sibling("confinement"), load_sibling("system_calls")
    load_sibling("values")
    program = load_sibling("program")
    os.environ.clear()
    sys.argv = [""]
    sys.meta_path.append(PackageFinder(settings["packages"]))
    for name in settings["preload"]:
        __import__(name)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    confinement.LIBC.prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER: what a program leaves behind comes here
    numbers = table.system_calls(os.uname().machine)
    worker = Worker(settings, confinement, (numbers, table.CONDITIONAL), program)
    worker._report({"ready": os.getpid(), "landlock": confinement.landlock_version()})
    worker.serve()


if __name__ == "__main__":
    main()
