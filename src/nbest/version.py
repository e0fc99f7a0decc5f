"""The version of the installed package."""

from importlib.metadata import PackageNotFoundError, version


def _read_version() -> str:
    try:
        return version("nbest")
    except PackageNotFoundError:  # a source tree that was never installed
        return "0+unknown"


VERSION = _read_version()
