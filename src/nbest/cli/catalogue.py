"""What comes with the package and its plug-ins: `nbest methods`, `nbest configs`."""

from typing import Annotated

import typer

from nbest.cli.terminal import JsonOut, console, table, write_json


def methods(
    kind: Annotated[
        str | None,
        typer.Argument(metavar="[KIND]", help="scorer, selector, sampler or verifier. Default: all."),
    ] = None,
    json_out: JsonOut = None,
) -> None:
    """List every method, also those of plug-ins: what it needs, its options, and the paper it comes from."""
    from nbest.registry import describe_methods

    rows = describe_methods(kind)
    screen = console(json_out)
    for each in dict.fromkeys(row["kind"] for row in rows):
        cells = [
            [
                row["name"],
                row["summary"],
                ", ".join(row["needs"]) or "-",
                ", ".join(f"{name}={value}" for name, value in row["options"].items()) or "-",
                row["source"] or "-",
            ]
            for row in rows
            if row["kind"] == each
        ]
        screen.print(table("", [each, "what it does", "needs", "options", "source"], cells, is_text=True))
        screen.print()
    write_json(rows, json_out)


def configs(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Print the path of this config alone, to copy or launch it.")
    ] = None,
    json_out: JsonOut = None,
) -> None:
    """List the configs that come with the package, by the command that reads them."""
    from nbest.named_configs import find_named_config, list_configs

    if name is not None:
        config = find_named_config(name)
        if json_out != "-":
            typer.echo(config.path)
        write_json(config.to_json(), json_out)
        return
    rows = list_configs()
    commands = {"sample": "sample -c", "launch": "launcher"}
    cells = [[config.name, commands.get(config.kind, f"train {config.kind}"), config.summary] for config in rows]
    console(json_out).print(table("", ["config", "read by", "what it is"], cells, is_text=True))
    write_json([config.to_json() for config in rows], json_out)
