"""Import files of any known format into a run folder: the one entry of `nbest import`.

`FORMATS` lists the formats by name. To add one: write its module (see `intake.py`), add a row here.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nbest.errors import ConfigError
from nbest.formats.intake import ImportReport, OnProgress
from nbest.specs import did_you_mean, load
from nbest.storage.run import Run
from nbest.version import VERSION

FORMATS = {
    "pools": "nbest.formats.pools:import_pools",
    "nemo-skills": "nbest.formats.nemo_skills:import_nemo_skills",
    "lm-eval": "nbest.formats.lm_eval:import_lm_eval",
}


def import_files(
    run_path: str | Path, format: str, files: Sequence[Path], on_progress: OnProgress | None = None, **options: Any
) -> ImportReport:
    """Import `files` of `format` (pools, nemo-skills or lm-eval) into the run at `run_path`, made where there is none.

    `options` are those of the format's function, such as `kind`. Faulty lines are in the report, the others are
    imported. Raises ConfigError for an unknown format and files that do not exist, DataError for those that cannot be
    opened.
    """
    if format not in FORMATS:
        raise ConfigError(f"format: {format!r} is none of {', '.join(FORMATS)}.{did_you_mean(format, FORMATS)}")
    absent = [f"{file}: there is no such file or folder" for file in files if not file.exists()]
    if absent:
        raise ConfigError(absent)
    info = {"nbest": VERSION, "files": [str(file.absolute()) for file in files], "options": options}
    name = FORMATS[format].rpartition(":")[2]
    run = Run.create(run_path, {"identity": {"imported": name}, "info": info})
    return load(FORMATS[format])(run, files, on_progress=on_progress, **options)
