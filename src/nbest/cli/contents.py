"""`nbest info`: show what a run contains, and which commands can follow."""

from nbest.cli.progress import show_activity
from nbest.cli.terminal import JsonOut, RunPath, console, table, write_json


def info(run: RunPath, json_out: JsonOut = None) -> None:
    """Show what a run contains, where it comes from, and which commands can follow."""
    from nbest.stages import describe_run

    with show_activity("read the run"):
        contents = describe_run(run)
    screen = console(json_out)
    screen.print(
        table(str(run), ["", ""], [[name, value] for name, value in contents.list_facts().items()], is_text=True)
    )
    if contents.scorers or contents.selectors:
        rows = [[name, "scores", f"{count:,}"] for name, count in contents.scorers.items()]
        rows += [[name, "selections", f"{count:,}"] for name, count in contents.selectors.items()]
        screen.print()
        screen.print(table("", ["name", "kind", "count"], rows))
        for key, method in contents.methods.items():
            screen.print(f"{key}: {method}", soft_wrap=True)
    screen.print()
    screen.print("Next:")
    for command in contents.list_next_commands():
        screen.print(f"  {command}", soft_wrap=True)
    write_json(contents.to_json(), json_out)
