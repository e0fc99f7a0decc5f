from bestofn.evaluation.comparison import Comparison, Paired, Row


def row(selector, n, accuracy, low=None, high=None, tokens=None, abstained=0.0):
    return Row(selector, n, accuracy, low, high, True, 0.1, tokens, None, abstained, 5)


def test_cells_of_the_table():
    rows = (
        row("first", 1, 0.5, 0.25, 0.75, 100.0),
        row("first", 4, 0.625, 0.5, 0.7512, 4321.4),
        row("majority", 1, 0.5),
        row("majority", 4, None),
    )
    comparison = Comparison(5, 4, rows)
    assert comparison.table_columns() == ["selector", "N=1", "N=4", "95% interval at N=4", "tokens a problem"]
    assert comparison.table_rows() == [
        ["first", "50.0", "62.5", "50.0 to 75.1", "4,321"],
        ["majority", "50.0", "-", "-", "-"],
    ]


def test_abstention_is_that_of_the_largest_n():
    made = Comparison(5, 4, (row("majority", 4, 0.5, abstained=0.1), row("majority", 1, 0.5, abstained=0.4))).to_json()
    assert made["abstained"] == {"majority": 0.1}


def test_cells_of_the_paired_table():
    rows = (row("majority", 1, 0.5), row("majority", 4, 0.6), row("vote:a", 1, 0.5), row("vote:a", 4, 0.65))
    paired = (
        Paired("vote:a", "majority", 1, 0.0, 0.0, 0.0, 1.0, 1.0, 5, 0),
        Paired("vote:a", "majority", 4, 0.05, -0.0125, 0.11, 0.02, 0.04, 5, 3),
        Paired("score:a", "majority", 1, None, None, None, None, None, 0, 0),
        Paired("score:a", "majority", 4, None, None, None, None, None, 0, 0),
    )
    comparison = Comparison(5, 4, rows, paired=paired)
    assert comparison.paired_columns() == [
        *("selector", "N=1", "N=4", "95% interval at N=4", "p at N=4 (Holm)", "problems that differ")
    ]
    assert comparison.paired_table() == [
        ["vote:a", "+0.0", "+5.0", "-1.2 to +11.0", "0.0400", "3 of 5"],
        ["score:a", "-", "-", "-", "-", "0 of 0"],
    ]
    assert Comparison(5, 4, rows).paired_table() == []
