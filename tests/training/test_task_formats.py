"""The formats of task files by name."""

import pytest

from nbest.errors import ConfigError
from nbest.training.task_files import NbestFormat
from nbest.training.task_formats import FORMATS, load_format
from nbest.training.verl_export import VerlFormat


def test_a_format_is_loaded_by_its_name() -> None:
    assert [type(load_format(name)) for name in FORMATS] == [NbestFormat, VerlFormat]


def test_the_former_name_of_the_package_means_nbest() -> None:
    assert isinstance(load_format("bestofn"), NbestFormat)


def test_an_unknown_format_is_named_with_those_allowed() -> None:
    with pytest.raises(ConfigError, match="format: got 'csv'; allowed: nbest, verl"):
        load_format("csv")
