"""Damaged and foreign run folders: each function does one thing to the folder of a sound run."""

import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

STAGES = ("trajectories", "verdicts", "scores/guess", "selections/majority")


def _replace_by_file(run: Path) -> None:
    shutil.rmtree(run)
    run.write_text("no run")


def _replace_by_folder(run: Path) -> None:
    shutil.rmtree(run)
    (run / "other").mkdir(parents=True)


def _replace_by_link(run: Path, target: str) -> None:
    shutil.rmtree(run)
    run.symlink_to(target)


def _edit_manifest(change: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    return lambda run: (run / "run.json").write_bytes(change((run / "run.json").read_bytes()))


def _set_field(name: str, value: Any) -> Callable[[Path], object]:
    def change(data: bytes) -> bytes:
        content = json.loads(data) | {name: value}
        content.pop("checksum", None)
        return json.dumps(content).encode()

    return _edit_manifest(change)


def _turn_into_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _turn_into_file(path: Path) -> None:
    shutil.rmtree(path)
    path.write_text("no folder")


def _change_part(stage: str, change: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    def damage(run: Path) -> None:
        part = _find_part(run, stage)
        part.write_bytes(change(part.read_bytes()))

    return damage


def _find_part(run: Path, stage: str) -> Path:
    return run / "problems.parquet" if stage == "problems" else sorted((run / stage).glob("part-*"))[0]


def _flip(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 4]) + data[middle + 1 :]


def _write_foreign_table(stage: str) -> Callable[[Path], object]:
    table = pa.table({"id": [1, 2], "other": [[None], [0.5]]})
    return lambda run: pq.write_table(table, _find_part(run, stage))


def _exchange_parts(run: Path) -> None:
    shutil.copy(_find_part(run, "verdicts"), run / "scores" / "guess" / "part-0.parquet")


def _add_unknown_rows(run: Path) -> None:
    """Take a problem away, whose trajectories stay."""
    table = pq.read_table(run / "problems.parquet")
    pq.write_table(table.slice(1), run / "problems.parquet")


def _write_states(data: bytes) -> Callable[[Path], object]:
    def damage(run: Path) -> None:
        (run / "states").mkdir()
        (run / "states" / "part-0.safetensors").write_bytes(data)

    return damage


_CHANGES: Mapping[str, Callable[[bytes], bytes]] = {
    "cut": lambda data: data[:-40],
    "flipped": _flip,
    "empty": lambda _: b"",
    "text": lambda _: b"no Parquet",
}

DAMAGES: Mapping[str, Callable[[Path], object]] = MappingProxyType(
    {
        "absent": shutil.rmtree,
        "a file": _replace_by_file,
        "another folder": _replace_by_folder,
        "a link to nothing": lambda run: _replace_by_link(run, "absent"),
        "a link to itself": lambda run: _replace_by_link(run, run.name),
        "no manifest": lambda run: (run / "run.json").unlink(),
        "an empty manifest": _edit_manifest(lambda _: b""),
        "a cut manifest": _edit_manifest(lambda data: data[:30]),
        "a deep manifest": _edit_manifest(lambda _: b"[" * 100_000),
        "a long number in the manifest": _edit_manifest(lambda _: b'{"format": ' + b"7" * 5_000 + b"}"),
        "a manifest of bytes": _edit_manifest(lambda _: bytes(range(256))),
        "a manifest in UTF-16": _edit_manifest(lambda data: data.decode().encode("utf-16")),
        "an edited manifest": _edit_manifest(lambda data: data.replace(b"by a test", b"by anyone")),
        "a list as manifest": _edit_manifest(lambda _: b"[]"),
        "a newer format": _set_field("format", 99),
        "a format of text": _set_field("format", "1"),
        "identity of text": _set_field("identity", "x"),
        "odd identity": _set_field("identity", {"policy": 5, "sampling": [], "problems": None, "seed": {}}),
        "odd info": _set_field("info", {"config": [], "files": 5, "policy_folder": "x", "nbest": {}}),
        "a manifest that is a folder": lambda run: _turn_into_folder(run / "run.json"),
        "no problems": lambda run: (run / "problems.parquet").unlink(),
        "problems that are a folder": lambda run: _turn_into_folder(run / "problems.parquet"),
        "a problem less": _add_unknown_rows,
        "no trajectories": lambda run: shutil.rmtree(run / "trajectories"),
        **{f"{stage} that are a file": lambda run, s=stage: _turn_into_file(run / s) for stage in STAGES},
        **{
            f"{stage} {label}": _change_part(stage, change)
            for stage in ("problems", *STAGES)
            for label, change in _CHANGES.items()
        },
        **{f"{stage} of another table": _write_foreign_table(stage) for stage in ("problems", *STAGES)},
        "verdicts among scores": _exchange_parts,
        "a folder that is named as a part": lambda run: (run / "verdicts" / "part-1.parquet").mkdir(),
        "an odd name of scores": lambda run: shutil.copytree(run / "scores" / "guess", run / "scores" / "\x1b[2J[/]"),
        "scores without a part": lambda run: (run / "scores" / "empty").mkdir(),
        "a damaged origin": lambda run: (run / "selections" / "majority" / "origin.json").write_bytes(b"\0"),
        "a deep origin": lambda run: (run / "selections" / "majority" / "origin.json").write_bytes(b"[" * 100_000),
        "claims that are a folder": lambda run: (run / ".claims").mkdir(),
        "a temporary file": lambda run: (run / "verdicts" / ".1-0.tmp").write_bytes(os.urandom(50)),
        "empty states": _write_states(b""),
        "states of a large header": _write_states(b"\xff" * 64),
        "states of a deep header": _write_states((100_000).to_bytes(8, "little") + b"[" * 100_000),
        "states of another format": _write_states((2).to_bytes(8, "little") + b"{}"),
    }
)
