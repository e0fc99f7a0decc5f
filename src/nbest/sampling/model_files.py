"""Finds the files of a model and their content hash, without loading it.

The same weights have the same hash under every path. This module imports no engine and sends no request.
"""

from importlib import resources
from pathlib import Path

from nbest.content_hashes import hash_files

__all__ = ["hash_files", "hash_model"]

BUNDLED = "bundled:"
WEIGHTS = ("*.safetensors", "*.bin", "reward_head.pt")


def hash_model(model: str) -> str | None:
    """Return the content hash of `bundled:NAME`, a folder, or a hub id in the cache of this machine.

    None if its files are not on this machine.
    """
    folder = _find_folder(model)
    return None if folder is None else hash_files([folder / "config.json", *_list_weights(folder)])


def _list_weights(folder: Path) -> list[Path]:
    return [path for pattern in WEIGHTS for path in folder.glob(pattern)]


def _find_folder(model: str) -> Path | None:
    if model.startswith(BUNDLED):
        folder = Path(str(resources.files("nbest"))) / "bundled" / model.removeprefix(BUNDLED)
    else:
        folder = Path(model).expanduser() if Path(model).is_dir() else _find_cached(model)
    return folder if folder is not None and (folder / "config.json").is_file() else None


def _find_cached(model: str) -> Path | None:
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        path = try_to_load_from_cache(model, "config.json")
    except HFValidationError:
        return None
    return Path(path).parent if isinstance(path, str) else None
