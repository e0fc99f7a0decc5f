"""The whole flow over a run folder: sample, encode, verify, score, select. Each stage adds what the run is missing.

`sample`, `encode`, `verify`, `score` and `select` are what the command line does, as functions: they open the run, load
the models, report progress to a callback and return a small record. The functions that end in `_run` do the work of one
stage with objects that are loaded already, and are async.

A stage may be killed at any instant and started again; several processes may run it on one folder at once. To share
the work of sampling without overlap give each process a `Shard`; without one, work that was done twice is dropped when
the run is read, because a trajectory is a function of its own seed. Nothing here knows a terminal.
"""

from nbest.stages.contents import RunContents, describe_run
from nbest.stages.encoding import EncodeReport, encode, encode_run
from nbest.stages.flow import OnProgress, StageProgress, require_trajectories
from nbest.stages.judges import read_judge_config
from nbest.stages.sampling import Draw, SampleReport, Shard, missing_draws, sample, sample_run
from nbest.stages.scoring import ScoreReport, score, score_run
from nbest.stages.selecting import SelectReport, select, select_run
from nbest.stages.settings import override_config
from nbest.stages.verifying import VerifyReport, verify, verify_run

__all__ = [
    "Draw",
    "EncodeReport",
    "OnProgress",
    "RunContents",
    "SampleReport",
    "ScoreReport",
    "SelectReport",
    "Shard",
    "StageProgress",
    "VerifyReport",
    "describe_run",
    "encode",
    "encode_run",
    "missing_draws",
    "override_config",
    "read_judge_config",
    "require_trajectories",
    "sample",
    "sample_run",
    "score",
    "score_run",
    "select",
    "select_run",
    "verify",
    "verify_run",
]
