"""When a run evaluates: after a share of the run, and after enough training."""

from types import SimpleNamespace

import pytest

from pipeline.training.callbacks import METRIC, RunCallback
from pipeline.training.hyperparameters import Hyperparameters


def count_evaluations(examples, rows, batch_size, held_out):
    """Return how often a run of one epoch would evaluate, with up to four evaluations."""
    settings = Hyperparameters(example_type=examples, batch_size=batch_size, evaluations=4)
    run = RunCallback(settings, rows, held_out, None)
    history = []
    steps = run.steps_per_epoch
    for step in range(1, steps + 1):
        state = SimpleNamespace(log_history=history, global_step=step)
        if run._is_evaluation_due(state, step / steps):
            history.append({"step": step, "share": step / steps, METRIC: 1.0})
    return len(history)


@pytest.mark.parametrize(
    ("examples", "rows", "evaluations"),
    [("pairs", 2_000, 2), ("pairs", 1_000, 0), ("sessions", 1_000, 2), ("sessions", 500, 0)],
)
def test_a_piece_of_a_session_counts_as_the_pairs_that_it_costs(examples, rows, evaluations):
    assert count_evaluations(examples, rows, 4, held_out=200) == evaluations
