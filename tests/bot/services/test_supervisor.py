"""Background jobs continue after any error, and their failures are reported."""

import asyncio
from itertools import pairwise

import pytest

from bot.services import supervisor
from bot.services.supervisor import Supervisor
from bot.store.erasure import Eraser
from bot.texts import EN
from tests.bot.conftest import until


@pytest.fixture(autouse=True)
def _hasty(monkeypatch):
    monkeypatch.setattr(supervisor, "FIRST_WAIT", 0.01)


@pytest.fixture
async def jobs():
    jobs = Supervisor()
    yield jobs
    await jobs.close()


class Step:
    """A step that raises the given errors and counts its calls."""

    def __init__(self, *errors):
        self.errors, self.count = list(errors), 0

    async def __call__(self):
        self.count += 1
        if self.errors:
            raise self.errors.pop(0)


async def test_a_job_that_fails_is_tried_again_and_its_traceback_logged(jobs, caplog):
    step = Step(RuntimeError("once"), KeyError("twice"))

    jobs.repeat("sweeping", step, 0.01)
    await until(lambda: step.count > 5)

    assert jobs.failing == ()
    assert "the job sweeping failed (2 in a row)" in caplog.text
    assert "RuntimeError: once" in caplog.text
    assert jobs.jobs[0].failures == 0


async def test_a_job_that_fails_is_named_until_it_works(jobs):
    step = Step(*[OSError("no") for _ in range(3)])

    jobs.repeat("sweeping", step, 0.01)
    failing = await until(lambda: jobs.failing)

    assert [(job.name, job.error) for job in failing] == [("sweeping", "OSError")]
    await until(lambda: not jobs.failing, 20)


async def test_a_cancellation_inside_a_step_is_a_failure(jobs):
    step = Step(asyncio.CancelledError())

    jobs.repeat("sweeping", step, 0.01)

    await until(lambda: step.count > 2)


async def test_a_job_that_runs_once_ends_after_success(jobs):
    step = Step(OSError("no"))

    jobs.run_once("greeting", step)
    await until(lambda: step.count == 2)
    await asyncio.sleep(0.1)

    assert step.count == 2


async def test_waits_between_failures_grow_to_a_limit(jobs, monkeypatch):
    monkeypatch.setattr(supervisor, "MAX_WAIT", 0.04)
    moments = []

    async def step():
        moments.append(asyncio.get_running_loop().time())
        raise OSError("no")

    jobs.repeat("sweeping", step, 0.01)
    await until(lambda: len(moments) == 5)
    waits = [later - earlier for earlier, later in pairwise(moments)]

    assert all(wait >= least for wait, least in zip(waits, (0.01, 0.02, 0.04, 0.04), strict=True))


async def test_a_step_in_progress_is_finished_or_cancelled_at_the_end(jobs, monkeypatch):
    monkeypatch.setattr(supervisor, "CLOSE_SECONDS", 0.1)
    ended = []

    async def quick():
        await asyncio.sleep(0.02)
        ended.append("quick")

    async def slow():
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ended.append("slow")
            raise

    jobs.repeat("quick", quick, 60)
    jobs.repeat("slow", slow, 60)
    await asyncio.sleep(0)
    await jobs.close()

    assert ended == ["quick", "slow"]


async def test_retention_survives_unexpected_errors(stage, joao, monkeypatch):
    monkeypatch.setattr(supervisor, "MAX_WAIT", 0.05)
    expire, tries = Eraser.authors_before, []

    async def fails(self, moment):
        tries.append(moment)
        if len(tries) < 4 or broken[0]:
            raise AssertionError("nobody expects this")
        return await expire(self, moment)

    broken = [True]
    monkeypatch.setattr(Eraser, "authors_before", fails)
    async with stage.running(admins=str(joao.id)) as app:
        jobs = app.bot_data["state"].jobs
        await until(lambda: len(tries) > 2, 20)
        private = stage.telegram.private(joao)
        english = await stage.answer(private, joao, "/status")
        broken[0] = False
        await until(lambda: not jobs.failing, 20)
        well = await stage.answer(private, joao, "/status")

    words = EN.status_job_failing.partition("{error}")[0].format(job="retention")
    assert words in english["text"]
    assert EN.status_jobs_ok in well["text"]
