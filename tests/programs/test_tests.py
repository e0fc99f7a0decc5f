"""The tests of code problems: every form is read, and a text in none of them says where and what is wrong."""

import base64
import gzip
import json
import pickle
import zlib
from pathlib import Path
from typing import Any

import pytest

from nbest.errors import DataError
from nbest.programs.tests import (
    CallTest,
    CheckTest,
    CodeTest,
    ReferenceTest,
    StatementsTest,
    StdinTest,
    collect_tests,
    read_public_tests,
    read_tests,
    write_test,
)
from nbest.records import CodeTask

DATA = Path(__file__).parents[3] / "shared" / "data"
CHECK = "METADATA = {}\n\n\ndef check(candidate):\n    assert candidate(1) == 2\n"


def read(*texts: str | dict[str, Any] | list[Any], entry_point: str = "f", setup: str = "") -> tuple[CodeTest, ...]:
    tests = [text if isinstance(text, str) else json.dumps(text) for text in texts]
    return read_tests(tests, "problem 'p': tests", entry_point, setup)


def case(testtype: str, stdin: str = "1\n[2]", stdout: str = "[3]") -> dict[str, str]:
    return {"input": stdin, "output": stdout, "testtype": testtype}


@pytest.mark.parametrize(
    ("text", "test"),
    [
        ({"stdin": "1\n", "stdout": "2\n"}, StdinTest("1\n", "2\n")),
        ({"arguments": [1, [2]], "returns": None}, CallTest("f", (1, [2]), None)),
        ({"arguments": [], "returns": 1, "function": "Solution.g"}, CallTest("Solution.g", (), 1)),
        ({"arguments": "[(1, 2), {3}]", "returns": "{(4,): b'5'}", "notation": "python"},
         CallTest("f", ((1, 2), {3}), {(4,): b"5"}, is_json=False)),
        ({"statements": ["assert f(1)", "f(2)"], "setup": "import math"},
         StatementsTest(("assert f(1)", "f(2)"), "import math")),
        ({"check": CHECK, "entry_point": "g"}, CheckTest(CHECK, "g")),
        ({"check": CHECK}, CheckTest(CHECK, "f")),
        ({"reference": "def f(x): ...", "inputs": [[1], []], "atol": 0.5},
         ReferenceTest("def f(x): ...", "f", ((1,), ()), (), "", 0.5)),
        ({"reference": "r", "inputs": [], "plus_inputs": [[[1]]], "entry_point": "g", "oracle": "o",
          "task_id": "Mbpp/2"},
         ReferenceTest("r", "g", (), (([1],),), "o", 0.0, "Mbpp/2")),
        ({"stdin": "", "stdout": ""}, StdinTest("", "")),
        ({"arguments": [""], "returns": ""}, CallTest("f", ("",), "")),
        (case("stdin"), StdinTest("1\n[2]", "[3]")),
        (case("functional"), CallTest("f", (1, [2]), [3])),
        (case("functional", "1\n\n", "null"), CallTest("f", (1,), None)),
        (CHECK, CheckTest(CHECK, "f")),
        ("assert f(1) == 2", StatementsTest(("assert f(1) == 2",))),
        ("assert f(1) == 2, 'a; b'\nassert not f(\n  2)\n",
         StatementsTest(("assert f(1) == 2, 'a; b'", "assert not f(\n  2)"))),
        ("import math\nxs = [1]\n\ndef near(a, b):\n    return a == b\n\nassert near(f(xs), 1)\nys = f(2)\nassert ys",
         StatementsTest(("assert near(f(xs), 1)", "ys = f(2)", "assert ys"),
                        "import math\nxs = [1]\ndef near(a, b):\n    return a == b")),
        ("r = f(1)\nassert r == 2", StatementsTest(("r = f(1)", "assert r == 2"))),
        ("for x in [1]:\n    assert f(x)", StatementsTest(("for x in [1]:\n    assert f(x)",))),
    ],
)  # fmt: skip
def test_every_form(text: Any, test: CodeTest):
    assert read(text) == (test,)
    assert read(write_test(test), entry_point="other") == (test,)


def test_a_text_may_hold_several_tests():
    cases = [case("stdin", "1", "2"), case("functional"), {"stdin": "3", "stdout": "4"}]
    expected = (StdinTest("1", "2"), CallTest("f", (1, [2]), [3]), StdinTest("3", "4"))
    assert read(cases) == expected
    packed = base64.b64encode(zlib.compress(pickle.dumps(json.dumps(cases)))).decode()
    assert read(packed) == expected
    assert read(f"\n{packed}\n", "assert f(1)") == (*expected, StatementsTest(("assert f(1)",)))


def test_the_setup_runs_before_statements():
    assert read("assert f(1)", setup="import math") == (StatementsTest(("assert f(1)",), "import math"),)
    assert read("import re\nassert f(1)", setup="import math") == (
        StatementsTest(("assert f(1)",), "import math\nimport re"),
    )
    assert read({"statements": ["f(1)"]}, setup="import math") == (StatementsTest(("f(1)",), "import math"),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"tests\[0\]: got an empty text; allowed: a JSON object with stdin and stdout"),
        ("assert f(1) ==", r"tests\[0\]: got 'assert f\(1\) ==', which is neither JSON nor Python; allowed: "),
        ("x = 1", r"tests\[0\]: got 'x = 1', which checks nothing; allowed: a statement"),
        ("packed", r"tests\[0\]: got 'packed': (neither JSON nor base64|base64 of data).*; allowed: "),
        ("{", r"tests\[0\]: got '\{': no JSON"),
        ("[]", r"tests\[0\]: got \[\]; allowed: "),
        ([1], r"tests\[0\]\[0\]: got 1; allowed: a JSON object"),
        ({}, r"tests\[0\]: got an object with no field; allowed: "),
        ({"in": "1", "out": "2"}, r"tests\[0\]: got an object with in, out; allowed: "),
        ({"stdin": "1"}, r"tests\[0\]\.stdout: got nothing \(the field is missing\); allowed: a string"),
        ({"stdin": 1, "stdout": "2"}, r"tests\[0\]\.stdin: got 1; allowed: a string"),
        ({"stdin": "1", "stdout": "2", "time": 3}, r"tests\[0\]: got a field 'time'; allowed: the fields stdin,"),
        ([case("stdin"), case("file")], r'tests\[0\]\[1\]\.testtype: got "file"; allowed: stdin, functional'),
        ([{"input": "1", "output": "2"}], r"tests\[0\]\[0\]\.testtype: got null; allowed: stdin, functional"),
        ([case("functional", "x")], r"tests\[0\]\[0\]\.input: got 'x'; allowed: a value of JSON on each line"),
        ([case("functional", "1", "")], r"tests\[0\]\[0\]\.output: got ''; allowed: a value of JSON"),
        ({"arguments": [1]}, r"tests\[0\]\.returns: got nothing"),
        ({"arguments": 1, "returns": 2}, r"tests\[0\]\.arguments: got 1; allowed: a list of arguments"),
        ({"arguments": [1], "returns": 2, "notation": "yaml"}, r'tests\[0\]\.notation: got "yaml"; allowed: json'),
        ({"arguments": "f(1)", "returns": "2", "notation": "python"}, r"tests\[0\]\.arguments: got 'f\(1\)'; allowed"),
        ({"statements": []}, r"tests\[0\]\.statements: got \[\]; allowed: a list with at least one item"),
        ({"statements": [1]}, r"tests\[0\]\.statements\[0\]: got 1; allowed: a string"),
        ({"reference": "r", "inputs": [1]}, r"tests\[0\]\.inputs\[0\]: got 1; allowed: the list of arguments"),
        ({"reference": "r", "inputs": [], "plus_inputs": []}, r"tests\[0\]: got no inputs; allowed: at least one"),
        ({"reference": "r"}, r"tests\[0\]: got no inputs; allowed: at least one input"),
        ({"reference": "r", "inputs": [], "atol": -1}, r"tests\[0\]\.atol: got -1; allowed: a tolerance"),
    ],
)  # fmt: skip
def test_a_test_in_the_wrong_schema(text: Any, message: str):
    with pytest.raises(DataError, match=f"^problem 'p': {message}"):
        read(text)
    assert collect_tests((json.dumps(text) if text != str(text) else text,), "f")[0] == ()


@pytest.mark.parametrize("text", [case("functional"), CHECK, {"arguments": [], "returns": 1}, {"reference": "r"}])
def test_a_function_has_to_be_named(text: Any):
    with pytest.raises(DataError, match=r"got no name of a function; allowed: the function to call: `entry_point`"):
        read(text, entry_point="")


def test_all_faults_are_reported_at_once():
    with pytest.raises(DataError) as caught:
        read(*["x = 1"] * 25, "assert f(1)")
    lines = str(caught.value).splitlines()
    assert len(lines) == 21
    assert lines[19].startswith("problem 'p': tests[19]: ")
    assert lines[20] == "... and 5 more"


def test_tests_of_a_task():
    task = CodeTask("f", public_tests=("assert f(1)",), generated_tests=("assert f(", "assert f(2)", "{", "f"))
    assert read_public_tests(task, "p") == (StatementsTest(("assert f(1)",)),)
    # What a policy wrote and nobody can read is no test.
    assert collect_tests(task.generated_tests, task.entry_point)[0] == (StatementsTest(("assert f(2)",)),)
    with pytest.raises(DataError, match=r"problem 'p': public_tests\[0\]"):
        read_public_tests(CodeTask("f", public_tests=("assert f(",)), "p")


def read_rows(name: str) -> list[dict[str, Any]]:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"{path} is not here")
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as lines:
        return [json.loads(line) for line in lines]


def test_the_tests_of_the_real_benchmarks():
    for row in read_rows("benchmarks/HumanEval.jsonl.gz"):
        assert read(row["test"], entry_point=row["entry_point"]) == (CheckTest(row["test"], row["entry_point"]),)
    for row in read_rows("benchmarks/mbpp.jsonl"):
        tests = read(*row["test_list"], *row["challenge_test_list"], setup=row["test_setup_code"])
        assert tests == tuple(
            StatementsTest((text.strip(),), row["test_setup_code"])
            for text in [*row["test_list"], *row["challenge_test_list"]]
        )
    for row in read_rows("benchmarks/MbppPlus-v0.2.0.jsonl.gz"):
        (test,) = read(row["assertion"], entry_point=row["entry_point"])
        assert isinstance(test, StatementsTest)
        assert row["assertion"].count("assert ") == len(test.statements)
    for row in read_rows("benchmarks/lcb_v1_public_tests.jsonl"):
        cases = json.loads(row["public_test_cases"])
        assert read(row["public_test_cases"]) == tuple(StdinTest(each["input"], each["output"]) for each in cases)


def test_the_tests_that_a_policy_wrote():
    rows = read_rows("pools/humaneval_codegen16b.jsonl.gz")
    counts = [len(collect_tests(tuple(row["gen_tests"]), row["entry_point"])[0]) for row in rows]
    assert counts == [len(row["gen_tests"]) for row in rows]
    assert sum(counts) == 7_889
