"""Every error nbest raises on purpose, and the exit code the command line gives it.

NbestError                     1   also: anything unexpected
|-- ConfigError (ValueError)     2   a setting, flag or TOML file is wrong; all faults at once
|-- DataError (ValueError)       3   a line, row or field of an input file is wrong; valid data was still imported
|   `-- DamagedRunError          4   a part or the manifest of a run folder is incomplete or does not fit the run
|-- UnavailableError             5   the method needs something that this run, model or engine does not have
|-- MissingExtraError (ImportError)  6   an optional package is not installed; the message has the pip command
|-- EngineError (RuntimeError)   7   a model or engine failed during its work
|   |-- OutOfMemoryError         7   the memory of the device does not hold the batch
|   `-- SandboxError             7   the sandbox itself failed, which says nothing about the program
`-- StorageError (OSError)       8   a file cannot be written; everything written before is intact

A message names the field, file or id, the value it has, the values that are allowed, and what to do. To add an error:
subclass the closest one, give it an exit code if scripts must distinguish it, and add it to this tree. 130 is the exit
code of Ctrl-C and 143 that of SIGTERM (see `nbest.cli.signals`).
"""

from collections.abc import Iterable


class NbestError(Exception):
    """The base class of all errors that nbest raises on purpose."""

    exit_code = 1


class ConfigError(NbestError, ValueError):
    """One or more faulty settings. `faults` holds one message each."""

    exit_code = 2

    def __init__(self, faults: str | Iterable[str]):
        self.faults = [faults] if isinstance(faults, str) else list(faults)
        super().__init__("\n".join(self.faults))


class DataError(NbestError, ValueError):
    """An input file has a wrong line, row or field."""

    exit_code = 3


class DamagedRunError(DataError):
    """A file of a run folder is incomplete, or does not belong to the run.

    `fault` is the part of the message that says what is wrong, without the file and what to do.
    """

    exit_code = 4

    def __init__(self, message: str, fault: str = ""):
        super().__init__(message)
        self.fault = fault or message


class UnavailableError(NbestError):
    """A method needs something that this run, model or engine does not have."""

    exit_code = 5


class MissingExtraError(NbestError, ImportError):
    """An optional package is not installed."""

    exit_code = 6

    def __init__(self, package: str, extra: str):
        super().__init__(f"{package} is not installed. It comes with an extra: pip install 'nbest[{extra}]'")


class EngineError(NbestError, RuntimeError):
    """A model or engine failed during its work."""

    exit_code = 7


class OutOfMemoryError(EngineError):
    """The memory of the device does not hold a batch; a smaller one may fit."""


class SandboxError(EngineError):
    """The sandbox itself failed, not the program that it ran: nothing is known about the program."""


class StorageError(NbestError, OSError):
    """A file cannot be written; everything written before is intact."""

    exit_code = 8
