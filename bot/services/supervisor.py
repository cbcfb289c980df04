"""Run background jobs, log failures and retry."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field

FIRST_WAIT, MAX_WAIT = 1.0, 300.0  # seconds before a job that failed is tried again
MAX_DOUBLINGS = 20
CLOSE_SECONDS = 4.0
"""Seconds that a running step has to finish when the bot stops; then it is cancelled."""

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class BackgroundJob:
    """A background job, the number of failures in a row, and the type of the last error."""

    name: str
    failures: int = 0
    error: str = ""


@dataclass(slots=True)
class Supervisor:
    """Owns the background jobs of a bot; no exception ends a job."""

    jobs: list[BackgroundJob] = field(default_factory=list)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)
    _ended: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def failing(self) -> tuple[BackgroundJob, ...]:
        """Return the jobs whose last step failed."""
        return tuple(job for job in self.jobs if job.failures)

    def repeat(self, name: str, step: Callable[[], Awaitable[object]], seconds: float) -> None:
        """Run a step now, and again `seconds` after each success."""
        self._start(BackgroundJob(name), step, seconds)

    def run_once(self, name: str, step: Callable[[], Awaitable[object]]) -> None:
        """Run a step now, and again until it has succeeded."""
        self._start(BackgroundJob(name), step, None)

    async def close(self) -> None:
        """End all jobs; a running step has `CLOSE_SECONDS` to finish."""
        self._ended.set()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=CLOSE_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _start(
        self,
        job: BackgroundJob,
        step: Callable[[], Awaitable[object]],
        seconds: float | None,
    ) -> None:
        self.jobs.append(job)
        self._tasks.append(
            asyncio.create_task(self._run(job, step, seconds), name=f"job {job.name}")
        )

    async def _run(
        self,
        job: BackgroundJob,
        step: Callable[[], Awaitable[object]],
        seconds: float | None,
    ) -> None:
        while not self._ended.is_set():
            wait = seconds
            if not await self._succeeds(job, step):
                wait = min(FIRST_WAIT * 2 ** min(job.failures - 1, MAX_DOUBLINGS), MAX_WAIT)
            if wait is None:
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._ended.wait()

    async def _succeeds(self, job: BackgroundJob, step: Callable[[], Awaitable[object]]) -> bool:
        try:
            await step()
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            _record_failure(job, error)  # something else that the step awaited was cancelled
        except Exception as error:  # noqa: BLE001  a job continues after any error
            _record_failure(job, error)
        else:
            if job.failures:
                logger.info("the job %s is running again", job.name)
            job.failures, job.error = 0, ""
        return not job.failures


def _record_failure(job: BackgroundJob, error: BaseException) -> None:
    job.failures += 1
    job.error = type(error).__name__
    logger.error(
        "the job %s failed (%d in a row) and will be retried",
        job.name,
        job.failures,
        exc_info=error,
    )
