"""Every error nbest raises on purpose, and the exit code the command line gives it.

NbestError                     1   also: anything unexpected
|-- ConfigError (ValueError)     2   a setting, flag or TOML file; all faults at once
|-- DataError (ValueError)       3   a line, row or field of somebody's file; what was good is kept
|   `-- DamagedRunError          4   a part or manifest of a run folder that is not whole, or does not fit the run
|-- UnavailableError             5   this method needs something this run, model or engine does not hold
|-- MissingExtraError (ImportError)  6   an optional package; the message is the pip line
|-- EngineError (RuntimeError)   7   a model or engine failed while working
`-- StorageError (OSError)       8   the disk refused a write; everything written before is whole

A message names the field, file or id, what came, what is allowed and what to do. To add an error: subclass the
closest one, give it an exit code if a script must tell it apart, and draw it here. 130 is the exit code of Ctrl-C.
"""

from collections.abc import Iterable


class NbestError(Exception):
    exit_code = 1


class ConfigError(NbestError, ValueError):
    """One or more faulty settings. `faults` holds one message each."""

    exit_code = 2

    def __init__(self, faults: str | Iterable[str]):
        self.faults = [faults] if isinstance(faults, str) else list(faults)
        super().__init__("\n".join(self.faults))


class DataError(NbestError, ValueError):
    exit_code = 3


class DamagedRunError(DataError):
    exit_code = 4


class UnavailableError(NbestError):
    exit_code = 5


class MissingExtraError(NbestError, ImportError):
    exit_code = 6

    def __init__(self, package: str, extra: str):
        super().__init__(f"{package} is not installed. It comes with an extra: pip install 'nbest[{extra}]'")


class EngineError(NbestError, RuntimeError):
    exit_code = 7


class StorageError(NbestError, OSError):
    exit_code = 8
