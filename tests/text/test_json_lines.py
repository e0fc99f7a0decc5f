"""Reading other people's JSON lines: what is good comes through, what is not is named."""

import gzip
import json
from pathlib import Path

import pytest

from nbest.errors import DataError
from nbest.text.json_lines import Fault, Fields, Line, describe, number_text, read_lines


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def fields_of(**values: object) -> Fields:
    return Fields(Line("f.jsonl", 3, values))


def test_plain_and_gzip_read_the_same(tmp_path: Path):
    text = '{"a": 1}\n\n{"a": 2}\n'
    plain = list(read_lines(write(tmp_path / "a.jsonl", text)))
    # gzip is known by content: the name says nothing.
    packed = list(read_lines(write(tmp_path / "b.jsonl", gzip.compress(text.encode()))))
    assert [(line.number, line.values) for line in plain if isinstance(line, Line)] == [(1, {"a": 1}), (3, {"a": 2})]
    assert [line.values for line in packed if isinstance(line, Line)] == [{"a": 1}, {"a": 2}]


def test_end_bytes_reach_the_size_of_the_file(tmp_path: Path):
    file = write(tmp_path / "a.jsonl", '{"a": 1}\n{"a": 2}')
    assert [line.end_bytes for line in read_lines(file) if isinstance(line, Line)] == [9, 17]


@pytest.mark.parametrize(
    ("data", "actual"),
    [
        (b"{bad\n", "not JSON"),
        (b"[1, 2]\n", "list of 2"),
        (b"7\n", "int 7"),
        (b'{"a": "\xff"}\n', "not UTF-8"),
        (b"[" * 100_000 + b"\n", "not JSON"),
        (b'{"a": ' + b"9" * 5000 + b"}\n", "not JSON"),
    ],
)
def test_a_bad_line_is_named_and_the_next_one_read(tmp_path: Path, data: bytes, actual: str):
    fault, good = read_lines(write(tmp_path / "a.jsonl", data + b'{"a": 1}\n'))
    assert isinstance(fault, Fault)
    assert (fault.line, fault.field) == (1, "line")
    assert actual in fault.actual
    assert isinstance(good, Line)


def test_a_byte_order_mark_is_no_fault(tmp_path: Path):
    (line,) = read_lines(write(tmp_path / "a.jsonl", b'\xef\xbb\xbf{"a": 1}\n'))
    assert isinstance(line, Line)


def test_a_gzip_cut_short_gives_what_stood_before_and_one_fault(tmp_path: Path):
    packed = gzip.compress("".join(json.dumps({"a": str(number) * 50}) + "\n" for number in range(2000)).encode())
    items = list(read_lines(write(tmp_path / "a.gz", packed[: len(packed) // 2])))
    assert len(items) > 10
    assert all(isinstance(item, Line) for item in items[:-1])
    assert isinstance(items[-1], Fault)
    assert items[-1].field == "gzip"


def test_a_file_that_is_not_there(tmp_path: Path):
    with pytest.raises(DataError, match=r"no\.jsonl"):
        list(read_lines(tmp_path / "no.jsonl"))


@pytest.mark.parametrize(
    ("value", "text"), [(27.0, "27"), (27, "27"), (-0.5, "-0.5"), (1e20, "100000000000000000000"), (0.1, "0.1")]
)
def test_number_text(value: float, text: str):
    assert number_text(value) == text


def test_fields_take_what_fits():
    fields = fields_of(
        text="a", term=27.0, flag=False, number=1, numbers=[1, 2.5], ids=[0, 7], texts=["x"], rest={"k": 1}
    )
    assert fields.take_text("text") == "a"
    assert fields.take_term("term") == "27"
    assert fields.take_flag("flag") is False
    assert fields.take_number("number") == 1.0
    assert fields.take_numbers("numbers") == [1.0, 2.5]
    assert fields.take_token_ids("ids") == [0, 7]
    assert fields.take_texts("texts") == ["x"]
    assert fields.take_text("absent") is None
    assert fields.rest() == {"rest": {"k": 1}}
    assert fields.faults == []


@pytest.mark.parametrize(
    ("take", "value"),
    [
        ("take_text", 1),
        ("take_text", "\ud800"),
        ("take_term", True),
        ("take_term", [1]),
        ("take_term", float("nan")),
        ("take_flag", 1),
        ("take_number", float("inf")),
        ("take_number", True),
        ("take_number", 10**400),
        ("take_numbers", [1.0, None]),
        ("take_numbers", [1e39]),
        ("take_token_ids", [-1]),
        ("take_token_ids", [2**31]),
        ("take_texts", "x"),
        ("take_object", []),
        ("take_objects", [1]),
    ],
)
def test_a_wrong_type_is_a_fault_with_its_place(take: str, value: object):
    fields = fields_of(a=value)
    assert not getattr(fields, take)("a")
    (fault,) = fields.faults
    assert (fault.file, fault.line) == ("f.jsonl", 3)
    assert fault.field in ("a", "a[0]")
    assert fault.actual == describe(value if fault.field == "a" else value[0])  # type: ignore[index]


def test_required_fields_and_inner_places():
    fields = fields_of(samples=[{"text": None, "scores": {"r": float("nan")}}, {}])
    first, second = fields.take_objects("samples", required=True)
    first.take_text("text", required=True)
    scores = first.take_object("scores")
    assert scores is not None
    scores.take_number("r")
    second.take_text("text", required=True)
    assert [(fault.field, fault.actual) for fault in fields.faults] == [
        ("samples[0].text", "null"),
        ("samples[0].scores.r", "float nan"),
        ("samples[1].text", "nothing (the field is missing)"),
    ]
    assert str(fields.faults[1]) == "f.jsonl:3: samples[0].scores.r: got float nan; allowed: a finite number"
