"""What tables leave out."""

from nbest.measuring.cells import TextTable, drop_empty


def test_columns_of_an_n_without_figures_are_left_out():
    heads = ["selector", "N=1", "N=8", "95% interval"]
    table = TextTable(heads, [["stored:a", "-", "50.0", "-"], ["b", "-", "-", "-"]])
    assert drop_empty(table) == (TextTable(["selector", "N=8", "95% interval"], [["stored:a", "50.0", "-"]]), ["b"])
    # A figure in one row is enough, and other columns stay.
    full = TextTable(["selector", "N=1", "p"], [["a", "1.0", "-"], ["b", "-", "0.5"]])
    assert drop_empty(full) == (full, [])


def test_a_table_of_empty_rows_alone_keeps_its_columns():
    heads = ["selector", "N=1"]
    assert drop_empty(TextTable(heads, [["a", "-"]])) == (TextTable(heads, []), ["a"])
