"""The packages that programs may import beside the standard library, and their versions."""

import platform
from collections.abc import Sequence
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from nbest.errors import ConfigError
from nbest.sandbox.launching import Package

DEFAULT = ("numpy", "sortedcontainers")
"""What programs of benchmarks commonly import, and nbest installs (the second one with the extra `code`)."""


def find_packages(names: Sequence[str] | None = None) -> dict[str, Package]:
    """Return the packages by the name of their distribution; None = those of `DEFAULT` that are installed.

    Raises ConfigError naming every distribution that is not installed.
    """
    packages: dict[str, Package] = {}
    missing: list[str] = []
    for name in DEFAULT if names is None else names:
        try:
            packages[name] = _read(distribution(name))
        except PackageNotFoundError:
            missing.append(name)
    if missing and names is not None:
        raise ConfigError(
            [f"package {name!r} is not installed here: pip install {name}, or leave it out" for name in missing]
        )
    return packages


def list_versions(packages: dict[str, Package]) -> dict[str, str]:
    """Return the versions of Python and of the packages, for a manifest."""
    return {"python": platform.python_version(), **{name: package.version for name, package in packages.items()}}


def _read(found: Distribution) -> Package:
    folder = Path(str(found.locate_file("")))
    tops = {file.parts[0] for file in found.files or () if file.parts and not file.parts[0].startswith("..")}
    names = [top for top in sorted(tops) if not top.endswith((".dist-info", ".pth")) and top != "__pycache__"]
    modules = {name: str(folder) for name in (top.partition(".")[0] for top in names) if name.isidentifier()}
    return Package(found.version, modules, tuple(str(folder / top) for top in names))
