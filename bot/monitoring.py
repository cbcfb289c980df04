"""Collect the figures of this process for its metrics, and say whether it takes new work."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from datetime import UTC, datetime
from functools import partial

from bot.application import DurableApplication
from bot.services.state import BotState
from bot.transport.metrics import Distribution, MetricFigure, serving_metrics


def serve_monitoring(app: DurableApplication, state: BotState) -> AbstractAsyncContextManager[None]:
    """Serve metrics while the block runs, if METRICS_LISTEN is set.

    Raises:
        SettingsError: The address cannot be used, or a package is missing.
    """
    if state.settings.metrics_listen is None:
        return nullcontext()
    return serving_metrics(
        state.settings.metrics_listen,
        partial(collect_figures, app, state),
        state.health,
        lambda: app.running and not app.is_stopping and state.is_current.is_set(),
    )


async def collect_figures(
    app: DurableApplication, state: BotState
) -> Sequence[MetricFigure | Distribution]:
    """Return the figures of this process, and of the queue that it shares.

    Raises:
        StoreError: The database cannot be read.
    """
    measured, now = state.replies.measurements, datetime.now(UTC)
    waiting, oldest = await state.store.inbox.count_waiting()
    age = max(0.0, (now - oldest).total_seconds()) if oldest else 0.0
    jobs = await state.queue.count_jobs()
    replica = app.bot_data.get("replica")
    is_leading = replica is None or replica.leadership.is_leading.is_set()
    histogram = measured.generation

    def gauge(name: str, description: str, value: float) -> MetricFigure:
        return MetricFigure(f"understudy_{name}", description, {"": value})

    return [
        MetricFigure(
            "understudy_updates", "Updates started, by kind", app.updates, "kind",
            is_counter=True,
        ),
        gauge("updates_waiting", "Updates in the database that are not handled yet", waiting),
        gauge("oldest_update_age_seconds", "Age of the oldest of them", age),
        MetricFigure("understudy_jobs_waiting", "Waiting jobs, by queue", jobs, "queue"),
        MetricFigure(
            "understudy_messages", "Messages by the final state of sending",
            measured.messages, "state", is_counter=True,
        ),
        MetricFigure(
            "understudy_requests_unanswered", "Requests without a reply, by reason",
            measured.unanswered, "reason", is_counter=True,
        ),
        MetricFigure(
            "understudy_candidates_rejected", "Rejected candidates, by reason",
            measured.rejected, "reason", is_counter=True,
        ),
        MetricFigure(
            "understudy_tokens", "Tokens of all candidates that were generated",
            {"": measured.tokens}, is_counter=True,
        ),
        Distribution(
            "understudy_generation_seconds", "Time to generate a turn",
            histogram.bounds, tuple(histogram.counts), histogram.total,
        ),
        gauge("replies_pending", "Replies in progress in this process", state.replies.pending),
        gauge("leading", "Whether this process leads: it polls and cleans up", is_leading),
        gauge("tasks_failing", "Background tasks whose last step failed", len(state.jobs.failing)),
        MetricFigure(
            "understudy_model_info", "Versions of the models in use",
            {one.current.version: 1 for one in state.models.usable}, "version",
        ),
        gauge("models_loaded", "Models in memory", len(state.models.speakers)),
    ]  # fmt: skip
