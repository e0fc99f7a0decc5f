"""The folder in which nbest remembers small facts between commands. Everything in it can be deleted at any time."""

import os
from pathlib import Path


def find_cache_folder() -> Path:
    """Return `$XDG_CACHE_HOME/nbest`, or `~/.cache/nbest`. It need not exist.

    A relative $XDG_CACHE_HOME is ignored, as the XDG specification demands.
    """
    folder = os.environ.get("XDG_CACHE_HOME", "")
    cache = Path(folder) if os.path.isabs(folder) else Path.home() / ".cache"
    return cache / "nbest"
