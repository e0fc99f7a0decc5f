"""Ask the Hugging Face hub once whether a model can be loaded from it, before a library tries again and again.

The libraries repeat each request several times for every file of a model, with a line of their own each time. One
request first keeps a machine without a network to one message. This module does not load anything.
"""

from pathlib import Path
from typing import Any

from nbest.errors import ConfigError, EngineError

TIMEOUT_SECONDS = 10.0
_CACHED_FILES = ("config.json", "tokenizer_config.json", "tokenizer.json")


def needs_cache(model: str, field: str, revision: str | None = None) -> bool:
    """Return whether a model must be loaded from the local cache, because the hub cannot be reached.

    It is False for a folder, for what is no hub id, and for a model that the hub has. At most one request is sent, and
    none in the hub's offline mode (`HF_HUB_OFFLINE`). `field` is the setting that names the model, for messages. Raises
    ConfigError where the hub has no such model, or cannot be reached and the model is not in the cache.
    """
    if Path(model).exists() or not _is_hub_id(model):
        return False
    try:
        _find_model(model, field, revision)
    except EngineError as error:
        if _is_cached(model, revision):
            return True
        raise ConfigError(
            f"{field}: {model!r} is neither a folder nor in the cache of this machine, and {error}. Give a folder or "
            "bundled:NAME, or load it once where there is a network."
        ) from error
    return False


def find_cached_commit(model: str, revision: str | None = None) -> str | None:
    """Return the commit of a model in the local cache of the hub; None if it is a folder or not in the cache."""
    from huggingface_hub import try_to_load_from_cache

    if Path(model).exists() or not _is_hub_id(model):
        return None
    paths = [try_to_load_from_cache(model, name, revision=revision) for name in _CACHED_FILES]
    return next((Path(path).parent.name for path in paths if isinstance(path, str)), None)


def describe_error(error: BaseException) -> str:
    """Return the type of an error and the first line of its message, without the address in the hub's offline mode."""
    if type(error).__name__ == "OfflineModeIsEnabled":
        return "it is switched off by HF_HUB_OFFLINE"
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def _find_model(model: str, field: str, revision: str | None) -> None:
    """Raise EngineError where the hub does not answer, ConfigError where it has no such model or does not give it."""
    import huggingface_hub
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    hub: Any = huggingface_hub.HfApi()
    try:
        hub.model_info(model, revision=revision, timeout=TIMEOUT_SECONDS)
    except (RepositoryNotFoundError, RevisionNotFoundError, GatedRepoError) as error:
        raise ConfigError(
            f"{field}: {model!r} (revision {revision or 'default'}) is not a folder, and the hub lets this machine "
            f"read no such model ({describe_error(error)}). Check the name; for a private model, log in to the hub."
        ) from error
    except Exception as error:
        # The client of the hub lets the exceptions of its HTTP library through; the message names them.
        raise EngineError(f"the hub at {hub.endpoint} cannot be reached ({describe_error(error)})") from error


def _is_hub_id(model: str) -> bool:
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(model)
    except HFValidationError:
        return False
    return True


def _is_cached(model: str, revision: str | None) -> bool:
    from huggingface_hub import try_to_load_from_cache

    return any(isinstance(try_to_load_from_cache(model, name, revision=revision), str) for name in _CACHED_FILES)
