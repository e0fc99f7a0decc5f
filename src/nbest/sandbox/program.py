"""What a confined child does: reads one job from its channel and runs it. Standard library only.

A frame of the channel is four bytes of length, big-endian, and that many bytes of JSON. Nothing that arrives here says
what a right answer is, so nothing that a program writes to the channel can claim one.

    script    {"script": source}                       -> {"raised": text} where an exception reached the top
    calls     {"calls": source, "list": [[function, [argument, ...]], ...]}
              -> {"value": text, "seconds": x} or {"error": text, "seconds": x} per call
    serve     {"serve": source}  -> {"ready": true}, then as for calls per
              {"call": function, "arguments": [...], "named": {...}}
    checks    {"checks": [statement, ...], "setup": source, "functions": [...], "is_stopping": bool}
              -> {"call": ..., "arguments": [...], "named": {...}} for each call of a function, answered as by `serve`;
                 {"check": n, "passed": bool, "error": text, "seconds": x} per check
"""

# pyright: reportOptionalMemberAccess=false, reportOptionalSubscript=false, reportAttributeAccessIssue=false

import atexit
import builtins
import contextlib
import json
import os
import socket
import struct
import sys
import threading
import time
import traceback
import types

MESSAGE_CHARACTERS = 2000


def _values():
    return sys.modules["_nbest_values"]


def read_frame(channel):
    """Return the next frame, None at the end of the channel."""
    head = _read_exactly(channel, 4)
    if head is None:
        return None
    data = _read_exactly(channel, struct.unpack(">I", head)[0])
    return None if data is None else json.loads(data)


def _read_exactly(channel, count):
    parts = []
    while count:
        part = os.read(channel, min(count, 1 << 20))
        if not part:
            return None
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def write_frame(channel, frame):
    data = json.dumps(frame).encode()
    view = memoryview(struct.pack(">I", len(data)) + data)
    while view:
        view = view[os.write(channel, view) :]


def prepare():
    """Open the standard streams as programs get them, and set up what else they find. Files 0, 1 and 2 are pipes."""
    sys.stdin = open(0, encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", encoding="utf-8", errors="surrogateescape", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)  # noqa: SIM115
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr
    sys.argv = ["program.py"]


def warm_up(rounds=40):
    """Run what every job runs, so that the interpreter has adapted its code before a process is forked.

    A page that a program's process writes to has to be copied first, and Python writes to code that is new to it.
    """
    ours, theirs = socket.socketpair()
    with ours, theirs:
        for _ in range(rounds):
            write_frame(ours.fileno(), {"script": "print"})
            _define(read_frame(theirs.fileno())["script"], "_nbest_warm")
            del sys.modules["_nbest_warm"]
            _values().decode_value(_values().encode_value([1, "a", 2.5, (True, None), {"b": {1}}]))
            _flush()


def run(channel):
    """Run the job of the channel; returns the exit status of the process."""
    job = read_frame(channel)
    if job is None:
        return 0
    # The worker starts without `site`, which makes these two for every program.
    builtins.exit = builtins.quit = sys.exit
    if "script" in job:
        return _run_script(channel, job["script"])
    if "checks" in job:
        return _run_checks(channel, job)
    return _run_calls(channel, job)


def _define(source, name):
    """Run `source` as the module `name`; returns the module."""
    module = types.ModuleType(name)
    sys.modules[name] = module
    exec(compile(source, "program.py", "exec"), module.__dict__)
    return module


def _describe(error):
    """Return `Type: message` of an exception, without trusting its methods."""
    try:
        text = str(error)
    except BaseException as second:  # noqa: BLE001 - a program raises what it likes
        text = f"<its message raised {type(second).__name__}>"
    line = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return line[:MESSAGE_CHARACTERS]


def _flush():
    for stream in (sys.__stdout__, sys.__stderr__):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()


def _leave():
    """End the threads and run the functions that the interpreter runs at its end."""
    try:
        if len(threading._active) > 1 or threading._threading_atexits:
            threading._shutdown()
        atexit._run_exitfuncs()
        if sys.stdout is not sys.__stdout__:
            sys.stdout.flush()
    except BaseException:  # noqa: BLE001 - a program raises what it likes
        pass
    _flush()


def _run_script(channel, source):
    code = 0
    try:
        _define(source, "__main__")
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
        if error.code is not None and not isinstance(error.code, int):
            print(error.code, file=sys.stderr)
    except BaseException as error:  # noqa: BLE001 - a program raises what it likes
        code = 1
        _leave()
        _print_traceback(error)
        write_frame(channel, {"raised": _describe(error)})
        _flush()
        return code
    _leave()
    return code & 0xFF


def _print_traceback(error):
    try:
        lines = traceback.format_exception(type(error), error, error.__traceback__)
        sys.__stderr__.write("".join(line for line in lines if "/sandbox/program.py" not in line))
    except BaseException:  # noqa: BLE001 - a program raises what it likes
        pass


class Kept:
    """The objects of a program that are no plain data, by number."""

    def __init__(self):
        self._objects = []

    def add(self, value):
        self._objects.append(value)
        return len(self._objects) - 1

    def find(self, number):
        return self._objects[number]


def _run_calls(channel, job):
    is_serving = "serve" in job
    try:
        module = _define(job["serve"] if is_serving else job["calls"], "program")
    except BaseException as error:  # noqa: BLE001 - a program raises what it likes
        _print_traceback(error)
        write_frame(channel, {"raised": _describe(error)})
        _flush()
        return 1
    if not is_serving:
        for function, arguments in job["list"]:
            write_frame(channel, _answer(module, function, arguments, {}, None))
    else:
        kept = Kept()
        write_frame(channel, {"ready": True})
        while (frame := read_frame(channel)) is not None:
            write_frame(channel, _answer(module, frame["call"], frame["arguments"], frame["named"], kept))
    _flush()
    return 0


def _answer(module, function, arguments, named, kept):
    """Call a function of the program; returns the frame that answers."""
    values = _values()
    find, keep = (None, None) if kept is None else (kept.find, kept.add)
    try:
        values_by_position = [values.decode_value(argument, find) for argument in arguments]
        values_by_name = {name: values.decode_value(argument, find) for name, argument in named.items()}
    except ValueError as error:
        return {"broken": f"an argument cannot be read: {error}"}
    started = time.perf_counter()
    try:
        result = _find_function(module, function)(*values_by_position, **values_by_name)
        seconds = time.perf_counter() - started
        text = values.encode_value(result, keep)
    except BaseException as error:  # noqa: BLE001 - a program raises what it likes
        frame = {"error": _describe(error), "kind": type(error).__name__, "seconds": time.perf_counter() - started}
        return frame | {"text": str(error)[:MESSAGE_CHARACTERS] if type(error).__str__ in _PLAIN else ""}
    return {"value": text, "seconds": seconds}


_PLAIN = frozenset(
    kind.__str__ for kind in vars(builtins).values() if isinstance(kind, type) and issubclass(kind, BaseException)
)
"""How built-in exceptions write their message; what a program wrote itself is not called."""


def _find_function(module, name):
    owner, _, method = name.rpartition(".")
    namespace = module.__dict__
    wanted = owner or method
    if wanted not in namespace:
        raise NameError(f"name {wanted!r} is not defined by the program")
    return getattr(namespace[owner](), method) if owner else namespace[method]


class ProgramError(Exception):
    """An exception of the program that is no built-in one, or one that ends loops without a word."""


class _Ended(BaseException):
    """The program's process has ended; no check can go on."""


_ENDING_LOOPS = (StopIteration, StopAsyncIteration, GeneratorExit)


def _make_proxy(channel, name):
    values = _values()

    def call(*arguments, **named):
        listed = [values.encode_value(argument) for argument in arguments]
        by_name = {key: values.encode_value(argument) for key, argument in named.items()}
        write_frame(channel, {"call": name, "arguments": listed, "named": by_name})
        frame = read_frame(channel)
        if frame is None or "ended" in frame:
            raise _Ended
        if "value" in frame:
            return values.decode_value(frame["value"])
        kind = getattr(builtins, str(frame.get("kind")), None)
        # Those that end a loop or a generator would end one of the test code, and nothing after them would be checked.
        if not (isinstance(kind, type) and issubclass(kind, Exception)) or issubclass(kind, _ENDING_LOOPS):
            raise ProgramError(frame.get("error", "the program failed"))
        try:
            error = kind(frame.get("text", ""))
        except TypeError:
            error = ProgramError(frame.get("error", ""))
        raise error

    call.__name__ = call.__qualname__ = name
    return call


def _run_checks(channel, job):
    namespace = {"__name__": "checks", "__builtins__": builtins}
    proxies = {name: _make_proxy(channel, name) for name in job["functions"]}
    try:
        exec(compile(job["setup"], "setup.py", "exec"), namespace)
    except BaseException as error:  # noqa: BLE001 - a program raises what it likes
        _print_traceback(error)
        write_frame(channel, {"setup": _describe(error)})
        return 1
    namespace.update(proxies)
    for number, statement in enumerate(job["checks"]):
        started = time.perf_counter()
        error_text = ""
        try:
            exec(compile(statement, "check.py", "exec"), namespace)
        except _Ended:
            return 0
        except BaseException as error:  # noqa: BLE001 - a program raises what it likes
            error_text = _describe(error)
        seconds = time.perf_counter() - started
        has_passed = not error_text
        write_frame(channel, {"check": number, "passed": has_passed, "error": error_text, "seconds": seconds})
        if not has_passed and job["is_stopping"]:
            break
    _flush()
    return 0
