"""The signs of per-token numbers, and the conversion of DeepConf's."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nbest.errors import ConfigError
from nbest.formats.intake import ImportReport
from nbest.formats.lm_eval import import_lm_eval
from nbest.formats.nemo_skills import import_nemo_skills
from nbest.formats.pools import import_pools
from nbest.scoring.confidence import DeepConfScorer
from nbest.storage.run import Run

LOGPROBS = [[-12.5, -11.0], [-3.0, -4.5], [-7.25, -0.0]]


def new_run(path: Path) -> Run:
    return Run.create(path, {"identity": {}, "info": {}})


def write(path: Path, *lines: object) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def problem(values: list[list[float]], home: str = "sample", **more: Any) -> dict[str, Any]:
    """A problem whose samples have these confidences, in the sample itself or below `nbest`."""
    samples = [{"text": str(number), "confidences": array} for number, array in enumerate(values)]
    if home == "nbest":
        samples = [{"text": sample["text"], "nbest": {"confidences": sample["confidences"]}} for sample in samples]
    return {"problem_id": "p", "question": "?", "target": "1", "samples": samples, **more}


def confidences(run: Run) -> list[list[float]]:
    arrays = [t.completion.confidences for pool in run.pools(tokens=True) for t in pool.trajectories]
    return [array.tolist() for array in arrays if array is not None]


async def score(run: Run) -> list[float]:
    (pool,) = run.pools(tokens=True)
    return [entry.value for entry in await DeepConfScorer("mean").score(pool)]


@pytest.mark.parametrize("home", ["sample", "nbest"])
async def test_deepconf_files_score_as_those_of_nbest(tmp_path: Path, home: str):
    ours, theirs = new_run(tmp_path / "ours"), new_run(tmp_path / "theirs")
    negated = [[-value for value in array] for array in LOGPROBS]
    assert import_pools(ours, [write(tmp_path / "a.jsonl", problem(LOGPROBS, home))]).is_clean
    header = {"confidences_sign": "deepconf"}
    assert import_pools(theirs, [write(tmp_path / "b.jsonl", header, problem(negated, home))]).is_clean
    assert confidences(theirs) == confidences(ours) == LOGPROBS
    assert await score(theirs) == await score(ours) == [11.75, 3.75, 3.625]


def test_the_sign_by_option_or_in_the_line(tmp_path: Path):
    negated = [[12.5, 11.0]]
    plain = write(tmp_path / "a.jsonl", problem(negated))
    by_line = write(tmp_path / "b.jsonl", problem(negated, confidences_sign="deepconf"))
    for number, (file, option) in enumerate([(plain, "deepconf"), (by_line, None), (by_line, "deepconf")]):
        run = new_run(tmp_path / str(number))
        assert import_pools(run, [file], confidences_sign=option).is_clean
        assert confidences(run) == [[-12.5, -11.0]]
        assert not next(iter(run.problems())).meta


def test_the_option_goes_before_the_file(tmp_path: Path):
    file = write(tmp_path / "a.jsonl", {"confidences_sign": "deepconf"}, problem(LOGPROBS, confidences_sign="deepconf"))
    run = new_run(tmp_path / "run")
    assert import_pools(run, [file], confidences_sign="nbest").is_clean
    assert confidences(run) == LOGPROBS


def test_a_header_is_for_its_file_alone(tmp_path: Path):
    files = [
        write(tmp_path / "a.jsonl", {"confidences_sign": "deepconf", "model": "m"}, problem([[1.0]])),
        write(tmp_path / "b.jsonl", problem([[-2.0]], problem_id="q")),
    ]
    run = new_run(tmp_path / "run")
    report = import_pools(run, files)
    assert report.is_clean
    assert confidences(run) == [[-1.0], [-2.0]]
    (note,) = report.notes
    assert note.endswith("not read: model")


@pytest.mark.parametrize(
    ("line", "option", "field", "value", "rule"),
    [
        (
            problem([[-1.0], [-2.0, 17.25]]),
            None,
            "samples[1].confidences[1]",
            "17.25",
            '{"confidences_sign": "deepconf"}',
        ),
        (problem([[0.5]], "nbest"), None, "samples[0].nbest.confidences[0]", "0.5", "--confidences-sign deepconf"),
        (problem([[-0.5]]), "deepconf", "samples[0].confidences[0]", "-0.5", "never below 0"),
        (problem([], confidences_sign="up"), None, "confidences_sign", "'up'", "nbest, deepconf"),
        (
            problem([], samples=[{"text": "a", "logprobs": [-1.0, 0.25]}]),
            None,
            "samples[0].logprobs[1]",
            "0.25",
            "never above 0",
        ),
        (
            problem([], samples=[{"text": "a", "certainties": [-1.0]}]),
            None,
            "samples[0].certainties[0]",
            "-1.0",
            "never below 0",
        ),
    ],
)
def test_a_wrong_sign_is_a_fault(
    tmp_path: Path, line: dict[str, Any], option: str | None, field: str, value: str, rule: str
):
    file = write(tmp_path / "a.jsonl", line)
    report = import_pools(new_run(tmp_path / "run"), [file], confidences_sign=option)
    assert (report.entries, report.fault_count) == (0, 1)
    (fault,) = report.faults
    assert (fault.file, fault.line, fault.field) == (str(file), 1, field)
    assert value in fault.actual
    assert rule in fault.allowed


def test_rounding_errors_of_the_source_are_no_faults(tmp_path: Path):
    run = new_run(tmp_path / "run")
    assert import_pools(run, [write(tmp_path / "a.jsonl", problem([[1e-6, -1.0]]))]).is_clean
    assert confidences(run) == [np.array([1e-6, -1.0], np.float32).tolist()]


def test_an_unknown_sign_as_option(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"confidences_sign: .*'deepcon'; allowed: nbest, deepconf"):
        import_pools(new_run(tmp_path / "run"), [write(tmp_path / "a.jsonl", problem([]))], confidences_sign="deepcon")


def test_nemo_skills_logprobs(tmp_path: Path):
    line = {"problem": "?", "expected_answer": "1", "generation": "1", "logprobs": [-0.5, 0.5]}
    report: ImportReport = import_nemo_skills(
        new_run(tmp_path / "run"), [write(tmp_path / "output-rs0.jsonl", line).parent]
    )
    assert [(fault.line, fault.field) for fault in report.faults] == [(1, "logprobs[1]")]


def test_lm_eval_targets_of_json_types(tmp_path: Path):
    lines = [
        {"doc_id": number, "target": target, "resps": [["x"]], "arguments": [["q"]], "filter": "none"}
        for number, target in enumerate([1e-7, True, 27.0, ["a", "b"]])
    ]
    run = new_run(tmp_path / "run")
    assert import_lm_eval(run, [write(tmp_path / "samples_t.jsonl", *lines)]).is_clean
    assert [stored.target for stored in run.problems()] == ["1e-7", "True", "27", None]
