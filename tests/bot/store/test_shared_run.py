"""Work that several callers want at the same time."""

import asyncio

import pytest

from bot.store.shared_run import SharedRun


async def test_callers_that_wait_share_a_run_that_began_after_their_calls():
    run, begun, is_free = SharedRun(), [], asyncio.Event()

    async def work():
        begun.append(1)
        await is_free.wait()
        return len(begun)

    callers = [asyncio.create_task(run(work)) for _ in range(4)]
    await asyncio.sleep(0)
    is_free.set()

    assert await asyncio.gather(*callers) == [1, 2, 2, 2]
    assert await run(work) == 3


async def test_after_a_failed_run_the_next_caller_runs_the_work():
    run, results = SharedRun(), [OSError("no"), "done"]

    async def work():
        await asyncio.sleep(0)
        if isinstance(result := results.pop(0), OSError):
            raise result
        return result

    first, *others = await asyncio.gather(*[run(work) for _ in range(4)], return_exceptions=True)

    assert isinstance(first, OSError)
    assert others == ["done"] * 3


async def test_a_cancelled_run_does_not_end_the_others():
    run, begun = SharedRun(), []

    async def work():
        begun.append(1)
        await asyncio.sleep(60 if len(begun) == 1 else 0)
        return "done"

    first, second = asyncio.create_task(run(work)), asyncio.create_task(run(work))
    await asyncio.sleep(0)
    first.cancel()

    assert await second == "done"
    with pytest.raises(asyncio.CancelledError):
        await first
