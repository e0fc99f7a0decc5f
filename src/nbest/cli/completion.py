"""Shell completion of the names of methods and configs."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nbest.specs import MethodKind


def complete_scorers(incomplete: str) -> list[str]:
    """Return the scorers that begin with what was typed."""
    return _filter_by_prefix(_list_names("scorer"), incomplete)


def complete_selectors(incomplete: str) -> list[str]:
    """Return the selectors that begin with what was typed; after `RULE:` the scorers."""
    rule, colon, scorer = incomplete.partition(":")
    if colon:
        return [f"{rule}:{name}" for name in _filter_by_prefix(_list_names("scorer"), scorer)]
    return _filter_by_prefix(_list_names("selector"), incomplete)


def complete_configs(incomplete: str) -> list[str]:
    """Return the configs of `nbest sample` that begin with what was typed."""
    from nbest.named_configs import list_configs

    return _filter_by_prefix((config.name for config in list_configs("sample")), incomplete)


def _list_names(kind: "MethodKind") -> list[str]:
    from nbest.registry import specs

    return [f"{spec.name}:" if spec.reads_scores else spec.name for spec in specs(kind)]


def _filter_by_prefix(names: Iterable[str], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]
