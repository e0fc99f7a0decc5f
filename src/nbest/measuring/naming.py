"""How the runs of one comparison or report are told apart."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from nbest.errors import ConfigError


def name_runs(paths: Sequence[Path]) -> list[str]:
    """Return a name for each run, in order: the shortest ends of their absolute paths that tell them apart.

    Raises ConfigError where two paths lead to the same run.
    """
    absolute = [path.resolve() for path in paths]
    duplicates = [path for path, count in Counter(absolute).items() if count > 1]
    if duplicates:
        raise ConfigError([f"run {path} was named twice; name each run once" for path in duplicates])
    length = 1
    while len({path.parts[-length:] for path in absolute}) < len(absolute):
        length += 1
    return ["/".join(path.parts[-length:]) for path in absolute]
