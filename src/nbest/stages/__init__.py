"""The whole flow over a run folder: sample, encode, verify, score, select. Each stage adds what the run is missing.

`sample`, `encode`, `verify`, `score` and `select` are what the command line does, as functions: they open the run, load
the models, report progress to a callback and return a small record. The functions that end in `_run` do the work of one
stage with objects that are loaded already, and are async.

A stage may be killed at any instant and started again; several processes may run it on one folder at once. They share
the work problem by problem (`sharing.py`); on machines whose file system has no locks, give each process a `Shard`.
Scores and selections of two origins are not mixed under one name (`origins.py`), and `drop` removes them. Nothing here
knows a terminal.
"""

from nbest.stages.checking import CheckReport, check
from nbest.stages.contents import RunContents, describe_run
from nbest.stages.dropping import Dropped, drop
from nbest.stages.encoding import EncodeReport, encode, encode_run
from nbest.stages.flow import OnProgress, StageProgress, require_trajectories
from nbest.stages.judges import read_judge_config
from nbest.stages.sampling import Draw, SampleReport, Shard, missing_draws, sample, sample_run
from nbest.stages.sandboxes import SandboxSettings
from nbest.stages.scoring import ScoreReport, score, score_run
from nbest.stages.selecting import SelectReport, select, select_run
from nbest.stages.settings import override_config, read_settings
from nbest.stages.verifying import VerifyReport, verify, verify_run

__all__ = [
    "CheckReport",
    "Draw",
    "Dropped",
    "EncodeReport",
    "OnProgress",
    "RunContents",
    "SampleReport",
    "SandboxSettings",
    "ScoreReport",
    "SelectReport",
    "Shard",
    "StageProgress",
    "VerifyReport",
    "check",
    "describe_run",
    "drop",
    "encode",
    "encode_run",
    "missing_draws",
    "override_config",
    "read_judge_config",
    "read_settings",
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
