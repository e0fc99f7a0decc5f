import pytest

from nbest.errors import ConfigError
from nbest.verifying.code.settings import CodeSettings


def test_faulty_settings_are_named_all_at_once() -> None:
    with pytest.raises(ConfigError) as info:
        CodeSettings("strict", test_seconds=0, slack=0.5, memory_bytes=1)  # type: ignore[arg-type]
    text = str(info.value)
    assert "mode: got 'strict'; allowed: true, upstream, both" in text
    assert all(name in text for name in ("test_seconds: got 0", "slack: got 0.5", "memory_bytes: got 1"))
