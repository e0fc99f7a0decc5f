"""Test data that may be hostile: nothing runs, nothing grows beyond its limit, and every fault has a message."""

import base64
import json
import os
import pickle
import resource
import zlib
from pathlib import Path
from typing import Any

import pytest

from nbest.errors import DataError
from nbest.programs.test_data import read_test_data

CASES = [{"input": "1\n", "output": "é \ud7ff 数\n", "testtype": "stdin"}]


def pack(data: bytes) -> str:
    return base64.b64encode(zlib.compress(data)).decode()


class Call:
    """A pickle of this calls a function when it is loaded."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("size", [0, 300, 70_000])
def test_packed_data_is_read_as_what_was_packed(protocol: int, size: int):
    cases = [*CASES, {"input": "x" * size, "output": "", "testtype": "stdin"}]
    assert read_test_data(pack(pickle.dumps(json.dumps(cases), protocol))) == cases
    assert read_test_data(pack(pickle.dumps(json.dumps(cases, ensure_ascii=False), protocol))) == cases


def test_json_is_read_first():
    assert read_test_data(json.dumps(CASES)) == CASES
    assert read_test_data(' \n{"a": NaN}')["a"] != 0


def test_a_pickle_that_calls_something_is_refused_and_calls_nothing(tmp_path: Path):
    path = tmp_path / "called"
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        for value in (Call(path), ["[]", Call(path)], {"[]": Call(path)}):
            with pytest.raises(DataError, match="a pickle with the opcode"):
                read_test_data(pack(pickle.dumps(value, protocol)))
    assert not path.exists()
    # The same is true of opcodes by themselves: globals, calls, objects, persistent ids, extensions.
    for code in (
        b"cos\nsystem\n.",
        b"(cos\nsystem\nS'x'\no.",
        b"(S'x'\nios\nsystem\n.",
        b"Px\n.",
        b"\x82\x01.",
        b"\x93.",
    ):
        with pytest.raises(DataError, match="a pickle with the opcode"):
            read_test_data(pack(code))


@pytest.mark.parametrize("value", [5, None, b"[]", ["[]"], ("[]",), {"a": 1}, 1.5, "[]" * 2])
def test_a_pickle_of_anything_but_json_text_is_refused(value: object):
    with pytest.raises(DataError):
        read_test_data(pack(pickle.dumps(value)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("not base64!", "neither JSON nor base64"),
        ("abc", "neither JSON nor base64"),
        ("abcd", "zlib cannot inflate"),
        (pack(b"")[:8], "zlib cannot inflate|ends early"),
        (pack(os.urandom(5_000))[:400], "ends early"),
        (base64.b64encode(zlib.compress(pickle.dumps("[]")) + b"more").decode(), "4 bytes behind the compressed data"),
        (pack(b""), "no pickle"),
        (pack(b"garbage"), "no pickle|opcode"),
        (pack(b"."), "without a text"),
        (pack(pickle.dumps("[]") + b"x"), "1 byte behind the end of a pickle"),
        (pack(pickle.dumps("[]")[:-1]), "no pickle"),
        (pack(b"X\xff\xff\xff\xff[]."), "no pickle"),
        (pack(b"\x8d" + b"\xff" * 8 + b"[]."), "no pickle"),
        (pack(b"X\x02\x00\x00\x00\xff\xfe."), "no pickle"),
        (pack(pickle.dumps("[1,")), "no JSON"),
        ("[1,", "no JSON"),
        ("[" * 100_000, "nested too deep"),
        ("[" + "9" * 10_000 + "]", "no JSON"),
    ],
)
def test_every_fault_has_a_message(text: str, message: str):
    with pytest.raises(DataError, match=message):
        read_test_data(text)


def test_a_bomb_stops_at_the_limit():
    bomb = base64.b64encode(zlib.compress(zlib.compress(b"\0" * (1 << 28), 9), 9)).decode()
    assert len(bomb) < 20_000
    once = base64.b64encode(zlib.compress(b"\0" * (1 << 28), 9)).decode()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for text in (bomb, once):
        with pytest.raises(DataError, match=r"inflates to more than 1,048,576 bytes|no pickle|opcode"):
            read_test_data(text, max_bytes=1 << 20)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10
    assert grown < 32 << 20
    with pytest.raises(DataError, match="at most 10"):
        read_test_data("[1, 2, 3, 4, 5]", max_bytes=10)
    whole = pack(pickle.dumps(json.dumps("x" * 1_000)))
    with pytest.raises(DataError, match="inflates to more than"):
        read_test_data(whole, max_bytes=1_000)
    assert read_test_data(whole, max_bytes=2_000) == "x" * 1_000
