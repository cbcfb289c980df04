"""Evaluations that take less time."""

import pytest

from pipeline.evaluation.intervals import resample_sessions

FEW_DRAWS = 60


@pytest.fixture(scope="module")
def _few_draws():
    """Draw few resamples: the hundreds of a real evaluation take most of its time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipeline.evaluation.attribution._DRAWS", FEW_DRAWS)
        patch.setattr(resample_sessions, "__defaults__", (FEW_DRAWS,))
        yield
