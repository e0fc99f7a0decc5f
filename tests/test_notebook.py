"""The three lines of the first page in a notebook kernel, whose event loop runs all the time."""

import pytest

nbclient = pytest.importorskip("nbclient", reason="runs a notebook kernel; pip install nbclient ipykernel")
pytest.importorskip("ipykernel", reason="runs a notebook kernel; pip install nbclient ipykernel")

CELLS = (
    "import nbest",
    'bon = nbest.BestOfN("bundled:arithmetic", selector="vote:trajselector-fused", n=16)',
    'result = bon.ask("A shop has 47 pens. It buys 86 more. It sells 35. It buys 12 more. How many pens?")',
    "print(result.answer, len(result.pool.trajectories))",
    # Top-level await runs on the kernel's own loop.
    "print((await bon.aask(result.pool.prompt)).answer)",
    "bon.close()",
)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
async def test_the_three_lines_run_in_a_notebook() -> None:
    import nbformat

    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    client = nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3")
    await client.async_execute()
    # On standard error a library may warn that it has no widgets to draw its progress with.
    outputs = [output for cell in notebook.cells for output in cell.outputs if output.get("name") != "stderr"]
    assert [output["text"] for output in outputs] == ["110 16\n", "110\n"]
