"""`nbest methods` and `nbest configs`: list the methods and configs of the package and its plug-ins."""

from typing import Annotated

import typer

from nbest.cli.terminal import JsonOut, console, table, write_json


def methods(
    kind: Annotated[
        str | None,
        typer.Argument(
            metavar="[KIND]", help="List only this kind: scorer, selector, sampler or verifier. Default: all kinds."
        ),
    ] = None,
    json_out: JsonOut = None,
) -> None:
    """List every method, including those of plug-ins, with its needs, its options and the paper it comes from."""
    from nbest.registry import describe_methods

    rows = describe_methods(kind)
    screen = console(json_out)
    for method_kind in dict.fromkeys(row["kind"] for row in rows):
        cells = [
            [
                row["name"],
                row["summary"],
                ", ".join(row["needs"]) or "-",
                ", ".join(f"{name}={value}" for name, value in row["options"].items()) or "-",
                row["source"] or "-",
            ]
            for row in rows
            if row["kind"] == method_kind
        ]
        screen.print(table("", [method_kind, "what it does", "needs", "options", "source"], cells, is_text=True))
        screen.print()
    write_json(rows, json_out)


def configs(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]", help="Print only the path of this config, to copy the file or to pass it to a launcher."
        ),
    ] = None,
    json_out: JsonOut = None,
) -> None:
    """List the configs that come with the package, by the command that reads them."""
    from nbest.named_configs import find_named_config, list_configs

    if name is not None:
        config = find_named_config(name)
        if json_out != "-":
            console().print(str(config.path), soft_wrap=True)
        write_json(config.to_json(), json_out)
        return
    rows = list_configs()
    commands = {"sample": "sample -c", "launch": "launcher"}
    cells = [[config.name, commands.get(config.kind, f"train {config.kind}"), config.summary] for config in rows]
    console(json_out).print(table("", ["config", "read by", "what it is"], cells, is_text=True))
    write_json([config.to_json() for config in rows], json_out)
