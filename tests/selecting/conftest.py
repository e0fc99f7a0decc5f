from tests.graded_runs import make_run, strings  # noqa: F401 - fixtures
