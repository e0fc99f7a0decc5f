# pyright: standard
"""The formats of task files by name: `nbest` (read by `nbest train genselect`) and `verl`.

This module does not know how rows are encoded (`training/task_files.py`, `training/verl_export.py`).
"""

from nbest.errors import ConfigError
from nbest.former_name import renew
from nbest.specs import did_you_mean
from nbest.training.task_files import NbestFormat, TaskFormat
from nbest.training.verl_export import VerlFormat

FORMATS: tuple[str, ...] = ("nbest", "verl")


def load_format(name: str) -> TaskFormat:
    """Return the format of this name; the former name of the package means `nbest`. Raises ConfigError otherwise."""
    current_name = renew(name)
    if current_name not in FORMATS:
        raise ConfigError(f"format: got {name!r}; allowed: {', '.join(FORMATS)}.{did_you_mean(name, FORMATS)}")
    return VerlFormat() if current_name == "verl" else NbestFormat()
