"""`bestofn demo`: the main job on the bundled model, from problems to a checked, selected answer and a page."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from bestofn.cli.terminal import JsonOut, console, progress, table, write_json


def demo(
    out: Annotated[Path, typer.Option("--out", help="The folder for the run and its report.")] = Path("demo"),
    count: Annotated[int, typer.Option(min=2, help="Problems.")] = 200,
    n: Annotated[int, typer.Option("--n", min=2, help="Trajectories a problem.")] = 32,
    seed: Annotated[int, typer.Option(help="Of the run.")] = 0,
    json_out: JsonOut = None,
) -> None:
    """Sample, verify, select and compare on the bundled model: minutes, no download."""
    import asyncio

    from bestofn.assembly import build_selector, load_sample_config
    from bestofn.cli.stages import sample_into, verify_in
    from bestofn.evaluation.charts import write_chart
    from bestofn.evaluation.compare import compare
    from bestofn.evaluation.page import write_page
    from bestofn.pipeline import select_run
    from bestofn.storage.run import Run
    from bestofn.verifiers.equivalence import Equivalence

    screen = console(json_out)
    preset = load_sample_config("arithmetic")
    settings = preset.model_copy(
        update={"n": n, "seed": seed, "problems": preset.problems.model_copy(update={"count": count})}
    )
    screen.print(f"A frozen policy ({settings.policy.model}) answers {count} problems {n} times, states captured:")
    sample_into(out, settings, "0/1", json_out)
    verified = verify_in(out, json_out)
    run = Run.open(out)
    equivalence = Equivalence()
    try:
        majority = build_selector("majority", run, equivalence)
        with progress("select", count - len(run.done_selections("majority")), screen) as on_done:
            asyncio.run(select_run(run, majority, "majority", on_done))
        found = compare(run, equivalence=equivalence, seed=seed)
    finally:
        equivalence.close()
    report = out / "report"
    write_chart(found, report / "accuracy.png", report / "accuracy.html")
    page = report / "report.html"
    write_page(page, "bestofn: the bundled policy on its test problems", found, _facts(run.manifest, verified))
    screen.print()
    screen.print(table(f"Accuracy in %, {found.problems} problems", found.table_columns(), found.table_rows()))
    screen.print()
    for name, path in (("report", page), ("curve", report / "accuracy.png"), ("run", out)):
        screen.print(f"{name:<7} {path.absolute()}", markup=False, soft_wrap=True)
    screen.print(f"look at one pool:  bestofn show {out} 0", markup=False)
    write_json(found.to_json() | {"report": str(page), "run": str(out)}, json_out)


def _facts(manifest: Mapping[str, Any], verified: Mapping[str, Any]) -> dict[str, str]:
    """What the page says about the run, from its manifest."""
    problems, policy = manifest["identity"]["problems"], manifest["identity"]["policy"]
    sampling, about = manifest["identity"]["sampling"], manifest["info"]["policy"]
    seed, version = manifest["identity"]["seed"], manifest["info"]["bestofn"]
    return {
        "policy": f"{policy['model']} ({about['parameters']:,} parameters, weights {policy['content_hash'][:16]})",
        "problems": f"{problems['count']} of {problems['source']} (hash {problems['hash'][:16]})",
        "sampling": f"temperature {sampling['temperature']}, top-p {sampling['top_p']}, seed {seed}",
        "trajectories": f"{verified['trajectories']:,} ({verified['right']:,} right, {verified['wrong']:,} wrong)",
        "versions": f"bestofn {version}, torch {about['torch']}, transformers {about['transformers']}",
    }
