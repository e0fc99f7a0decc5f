"""nbest: sample many trajectories, select the one to trust. See docs/architecture.md for the map."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("nbest")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"
