"""The configs that come with the package, found by name: `nbest sample RUN --config arithmetic`.

They stand in one folder per command that reads them: `sample`, `policy`, `scorer` and `genselect` (for `nbest train`),
and `launch` for the files of launchers. A name need not be unique across folders, because a command knows its folder.
This module does not read what is in a file.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from nbest.errors import ConfigError
from nbest.specs import did_you_mean

ConfigKind: TypeAlias = Literal["sample", "policy", "scorer", "genselect", "launch"]
CONFIG_KINDS: tuple[ConfigKind, ...] = get_args(ConfigKind)


@dataclass(frozen=True, slots=True)
class NamedConfig:
    """One config of the package. `summary` is the first sentence of the comment at its top."""

    kind: ConfigKind
    name: str
    path: Path
    summary: str

    def to_json(self) -> dict[str, str]:
        return {key: str(value) for key, value in asdict(self).items()}


def list_configs(kind: ConfigKind | None = None) -> list[NamedConfig]:
    """Return the configs of the package, all or of one kind, sorted by kind and name."""
    return [config for each in CONFIG_KINDS if kind in (None, each) for config in _read_folder(each)]


def find_config(source: str | Path, kind: ConfigKind) -> Path:
    """Return the file `source` names: a path, or the name of a config of the package.

    A file of that path counts before a name. Raises ConfigError with the names there are.
    """
    path = Path(source)
    if path.suffix or path.is_file():
        return path
    configs = {config.name: config.path for config in list_configs(kind)}
    if str(source) in configs:
        return configs[str(source)]
    raise ConfigError(
        f"config: {str(source)!r} is neither a TOML file nor one of the configs of the package "
        f"({', '.join(configs)}).{did_you_mean(str(source), configs)}"
    )


def find_named_config(name: str) -> NamedConfig:
    """Return the config of this name, `NAME` or `KIND/NAME`.

    Raises ConfigError if there is no such config, or if several kinds have a config of that name.
    """
    configs = list_configs()
    matches = [config for config in configs if name in (config.name, f"{config.kind}/{config.name}")]
    if len(matches) == 1:
        return matches[0]
    if matches:
        choices = " or ".join(f"{config.kind}/{config.name}" for config in matches)
        raise ConfigError(f"config: {name!r} is the name of several; write {choices}")
    names = dict.fromkeys(config.name for config in configs)
    raise ConfigError(f"config: {name!r} is none of {', '.join(names)}.{did_you_mean(name, names)}")


def _read_folder(kind: ConfigKind) -> Iterator[NamedConfig]:
    folder = Path(str(resources.files("nbest") / "configs" / kind))
    for path in sorted(folder.iterdir()):
        if path.suffix in (".toml", ".yaml", ".sh"):
            yield NamedConfig(kind, path.stem, path, _read_summary(path))


def _read_summary(path: Path) -> str:
    """Return the first sentence of the leading comment; empty if there is none."""
    words: list[str] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("#!"):
            continue
        if not line.startswith("# "):
            break
        words.append(line.removeprefix("# ").strip())
    sentence, stop, _ = " ".join(words).partition(". ")
    return sentence.rstrip(".:") + "." if stop or words else ""
