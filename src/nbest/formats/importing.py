"""Import files of any known format into a run folder: the function behind `nbest import`.

`FORMATS` lists the formats by name. To add one: write its module (see `intake.py`), add a row here.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nbest.errors import ConfigError
from nbest.formats.intake import ImportReport, OnProgress
from nbest.specs import did_you_mean, load
from nbest.storage.drafts import prepare_run
from nbest.storage.lookup import remember_ids
from nbest.text.json_lines import Fault
from nbest.verifying.targets import describe_unreadable, find_unreadable_targets
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
    imported; files without a single line are a fault too. Where no line is right, no run is created. A note names
    targets that cannot be read, because `nbest verify` refuses them. Raises ConfigError for an unknown format and files
    that do not exist, DataError for those that cannot be opened.
    """
    if format not in FORMATS:
        raise ConfigError(f"format: {format!r} is none of {', '.join(FORMATS)}.{did_you_mean(format, FORMATS)}")
    faults = [f"{file}: there is no such file or folder" for file in files if not file.exists()]
    if faults:
        raise ConfigError(faults)
    info = {"nbest": VERSION, "files": [str(file.absolute()) for file in files], "options": options}
    name = FORMATS[format].rpartition(":")[2]
    run = prepare_run(run_path, {"identity": {"imported": name}, "info": info})
    report: ImportReport = load(FORMATS[format])(run, files, on_progress=on_progress, **options)
    if report.entries:
        run.materialize()
    if not report.entries and report.is_clean:
        report.add_fault(Fault(", ".join(map(str, files)), 0, "line", "no problem", "at least one line with a problem"))
    unreadable = find_unreadable_targets(run.problems()) if report.problems else []
    if unreadable:
        report.notes.append(f"{describe_unreadable(unreadable)}\n`nbest verify` grades none of this run until then.")
    if report.entries:
        remember_ids(run.path)
    return report
