from dataclasses import replace

from nbest.measuring.cells import TextTable, drop_empty, explain_empty
from nbest.measuring.comparison import AccuracyRow, Comparison, Paired


def row(selector, n, accuracy, low=None, high=None, tokens=None, abstained=0.0):
    return AccuracyRow(selector, n, accuracy, low, high, True, 0.1, tokens, None, abstained, 5)


def test_cells_of_the_table():
    rows = (
        row("first", 1, 0.5, 0.25, 0.75, 100.0),
        row("first", 4, 0.625, 0.5, 0.7512, 4321.4),
        row("majority", 1, 0.5),
        row("majority", 4, None),
    )
    comparison = Comparison(5, 4, rows)
    assert comparison.accuracy_table().heads == ["selector", "N=1", "N=4", "95% interval at N=4", "tokens per problem"]
    assert comparison.accuracy_table().rows == [
        ["first", "50.0", "62.5", "50.0 to 75.1", "4,321"],
        ["majority", "50.0", "-", "-", "-"],
    ]


def test_abstention_is_that_of_the_largest_n():
    values = Comparison(
        5, 4, (row("majority", 4, 0.5, abstained=0.1), row("majority", 1, 0.5, abstained=0.4))
    ).to_json()
    assert values["abstained"] == {"majority": 0.1}


def test_cells_of_the_paired_table():
    rows = (row("majority", 1, 0.5), row("majority", 4, 0.6), row("vote:a", 1, 0.5), row("vote:a", 4, 0.65))
    paired = (
        Paired("vote:a", "majority", 1, 0.0, 0.0, 0.0, 1.0, 1.0, 5, 0),
        Paired("vote:a", "majority", 4, 0.05, -0.0125, 0.11, 0.02, 0.04, 5, 3, 0.03, 0.0841),
        Paired("score:a", "majority", 1, None, None, None, None, None, 0, 0),
        Paired("score:a", "majority", 4, None, None, None, None, None, 0, 0),
    )
    comparison = Comparison(5, 4, rows, paired=paired)
    assert comparison.paired_table().heads == [
        *("selector", "N=1", "N=4", "95% interval at N=4", "p at N=4 (Holm)", "problems that differ"),
        "detectable",
    ]
    assert comparison.paired_table().rows == [
        ["vote:a", "+0.0", "+5.0", "-1.2 to +11.0", "0.0400", "3 of 5", "8.4"],
        ["score:a", "-", "-", "-", "-", "0 of 0", "-"],
    ]
    assert Comparison(5, 4, rows).paired_table().rows == []


def test_rows_without_a_figure_are_dropped_and_named():
    cells = TextTable(["selector", "N=1", "p", "differ"], [["a", "-", "-", "0 of 0"], ["b", "0.5", "0.1", "1 of 2"]])
    rows, empty = drop_empty(cells)
    assert (rows.heads, rows.rows, empty) == (cells.heads, [cells.rows[1]], ["a"])
    assert explain_empty(["a", "c"]) == "left out because there are no figures for them: a, c"
    assert explain_empty([]) == ""
    counts = TextTable(["selector", "ties"], [["a", "0"]])
    assert drop_empty(counts) == (counts, [])  # a count of nothing is a figure where nothing is undefined


def test_every_n_of_a_table_has_its_interval():
    rows = tuple(row(name, n, 0.5, 0.4, 0.6) for name in ("first", "majority") for n in (1, 2, 4))
    pairs = tuple(Paired("first", "majority", n, 0.1, -0.1, 0.3, 1.0, 1.0, 5, 0) for n in (1, 2, 4))
    comparison = Comparison(5, 4, rows, paired=pairs)
    heads = ["selector", "N=1", "N=2", "N=4"]
    assert comparison.interval_table() == TextTable(
        heads, [[name, *["40.0 to 60.0"] * 3] for name in comparison.selectors]
    )
    assert comparison.paired_interval_table() == TextTable(heads, [["first", *["-10.0 to +30.0"] * 3]])


def test_costs_have_a_column_where_they_are_known():
    costs = {"flops": 1.25e12, "sampling_seconds": 12.34}
    rows = (replace(row("first", 4, 0.5, tokens=4321.4), **costs), row("majority", 4, 0.5))
    comparison = Comparison(5, 4, rows)
    assert comparison.accuracy_table().heads[3:] == ["tokens per problem", "FLOPs per problem", "seconds per problem"]
    assert [cells[3:] for cells in comparison.accuracy_table().rows] == [["4,321", "1.25e+12", "12.3"], ["-", "-", "-"]]


def test_what_the_ungraded_could_change():
    rows = (replace(row("first", 1, 0.5), accuracy_if_wrong=0.4, accuracy_if_right=0.55), row("first", 4, None))
    assert Comparison(5, 4, rows).bounds_table().rows == []
    assert Comparison(5, 4, rows, ungraded=2).bounds_table().heads == ["selector", "N=1", "N=4"]
    assert Comparison(5, 4, rows, ungraded=2).bounds_table().rows == [["first", "40.0 to 55.0", "-"]]


def test_groups_stand_side_by_side():
    parts = {"1": Comparison(2, 4, (row("first", 4, 0.25),)), "2": Comparison(3, 4, (row("first", 4, 1.0),))}
    comparison = Comparison(5, 4, (row("first", 4, 0.7),), by="level", groups=parts)
    assert comparison.group_table(4).heads == ["selector", "1 (2)", "2 (3)"]
    assert comparison.group_table(4).rows == [["first", "25.0", "100.0"]]
    assert list(comparison.to_json()["groups"]) == ["1", "2"]


def test_json_keeps_its_keys():
    values = Comparison(
        5, 4, (row("oracle", 4, 0.5), row("mine", 4, 0.4)), ungraded=3, roles={"oracle": "bound"}
    ).to_json()
    assert values["ungraded"] == 3
    assert values["roles"] == {"oracle": "bound", "mine": "competitor"}
    assert (values["baseline"], values["paired"]) == (None, [])
