"""Retrainings with fake training, and files to merge."""

import pytest

from tests.pipeline.chats import write
from tests.pipeline.retrain.merging import merging, remember, said
from tests.pipeline.retrain.retrain_runner import RetrainRunner


@pytest.fixture
def runner(tmp_path):
    return RetrainRunner(tmp_path)


@pytest.fixture
def running(runner):
    """A runner whose first version serves."""
    assert runner.first().promoted
    return runner


@pytest.fixture
def put(tmp_path):
    """Write exports and dumps into files of their own and return them."""
    count = iter(range(1_000))
    return lambda *values: [write(tmp_path / str(next(count)), one) for one in values]


@pytest.fixture
def talk(tmp_path, put):
    """Merge these exports and dumps, one call after another, and return what is said then."""

    def run(*values):
        with merging(tmp_path / "models", put(*values)) as whole:
            remember(whole)
            return said(whole)

    return run


@pytest.fixture(scope="session", autouse=True)
def _own_base_scores_fit():
    """Score the fit with the tiny base of the tests: unpacking another one takes a minute."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipeline.evaluation.evaluate.choose_fit_scorer", lambda base, _: base)
        yield
