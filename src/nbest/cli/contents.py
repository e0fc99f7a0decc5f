"""`nbest info`: what a run holds, and what can be done with it next."""

from nbest.cli.terminal import JsonOut, RunPath, console, table, write_json


def info(run: RunPath, json_out: JsonOut = None) -> None:
    """Show what a run holds, where it comes from, and what can be done next."""
    from nbest.stages import describe_run

    contents = describe_run(run)
    screen = console(json_out)
    screen.print(table(str(run), ["", ""], [[name, value] for name, value in contents.facts().items()], is_text=True))
    if contents.scorers or contents.selectors:
        rows = [[name, "scores", f"{count:,}"] for name, count in contents.scorers.items()]
        rows += [[name, "selections", f"{count:,}"] for name, count in contents.selectors.items()]
        screen.print()
        screen.print(table("", ["name", "kind", "count"], rows))
    screen.print()
    screen.print("Next:")
    for command in contents.next_commands():
        screen.print(f"  {command}", markup=False, soft_wrap=True)
    write_json(contents.to_json(), json_out)
