from bestofn.evaluation.comparison import Comparison, Row


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
