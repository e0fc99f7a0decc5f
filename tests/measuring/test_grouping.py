import pytest

from nbest.errors import ConfigError
from nbest.measuring.grouping import group_problems
from nbest.records import Problem

PROBLEMS = [
    Problem("a", "?", kind="math", meta={"level": 10, "source": {"year": "2024"}}),
    Problem("b", "?", kind="code", meta={"level": 2}),
    Problem("c", "?", kind="math", meta={"subject": "algebra", "list": [1]}),
    Problem("d", "?", kind="math", meta={"level": 2, "source": {"year": "2023"}}),
]


@pytest.mark.parametrize(
    ("field", "groups"),
    [
        ("kind", {"code": ["b"], "math": ["a", "c", "d"]}),
        ("level", {"2": ["b", "d"], "10": ["a"], "(none)": ["c"]}),  # numbers in their order, missing ones last
        ("source.year", {"2023": ["d"], "2024": ["a"], "(none)": ["b", "c"]}),
    ],
)
def test_groups_by_a_field(field, groups):
    labels = group_problems(PROBLEMS, field)
    assert labels == groups
    assert list(labels) == list(groups)


@pytest.mark.parametrize("field", ["year", "source.month", "level.x"])
def test_an_unknown_field_names_those_there_are(field):
    with pytest.raises(ConfigError, match=f"no problem has a field '{field}'; there are kind, level, subject"):
        group_problems(PROBLEMS, field)
