"""Waiting for the model: chats take turns, waits are limited, and a stop ends them."""

import asyncio
import threading
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from bot.errors import StoppingError
from bot.services.fair_semaphore import FairSemaphore
from bot.services.replies import BusyError, QueueError, Replies, ReplyRequest, SlowError
from bot.store.messages import Place
from bot.texts import EN
from model.chat.conversation import Window
from model.chat.eligibility import parse_voice_header
from model.chat.person import Person
from model.chat.roster import Roster
from model.errors import GenerationStopped, ServerBusyError, ServerError
from tests.bot.conftest import FRIENDS, until

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
VOICES = "Hugo", "1a", "1b", "1c", "2a", "2b", "3a"


class Slow:
    """A speaker that works on each reply until `finish` is set or it has to stop."""

    def __init__(self, *, obeys=True):
        self.obeys = obeys
        self.finish = threading.Event()
        self.rejected = {}
        self.tokens = 0
        self.voices = []

    def fork(self):
        return self

    def reply(self, context, voice, begins, should_stop):
        self.voices.append(voice)
        for _ in range(1000):
            if self.finish.wait(0.01):
                return (voice,)
            if self.obeys and should_stop():
                raise GenerationStopped
        raise AssertionError


class NoMessages:
    async def find_newest(self, place, count, is_counted, before=None):
        return []


@pytest.fixture
def asking():
    """Return a Replies that asks a speaker."""
    opened = []

    def asking(speaker, **options):
        model = SimpleNamespace(
            artifact=None,
            roster=Roster(tuple(map(Person, VOICES, ((n,) for n in range(1, 9))))),
            card=SimpleNamespace(window=Window()),
            version="1",
        )
        speakers = SimpleNamespace(get=lambda _: speaker)
        opened.append(Replies(lambda _: model, speakers, NoMessages(), **options))
        return opened[-1]

    yield asking
    for replies in opened:
        replies.close()


def ask(replies, chat_id, voice="Hugo"):
    return asyncio.create_task(replies.generate(ReplyRequest(Place(chat_id), voice, AT)))


async def started(speaker, number=1):
    await until(lambda: len(speaker.voices) >= number)


async def test_chats_take_turns(asking):
    speaker = Slow()
    replies = asking(speaker)
    asked = [ask(replies, 1, "1a")]
    await started(speaker)

    asked += [ask(replies, 1, "1b"), ask(replies, 1, "1c"), ask(replies, 2, "2a")]
    asked += [ask(replies, 2, "2b"), ask(replies, 3, "3a")]
    await asyncio.sleep(0.1)
    speaker.finish.set()
    await asyncio.gather(*asked)

    assert speaker.voices == ["1a", "2a", "3a", "1b", "2b", "1c"]


async def test_the_time_limit_of_a_reply_starts_with_its_generation(asking):
    speaker = Slow(obeys=False)
    replies = asking(speaker, seconds=0.3)
    slow = ask(replies, 1)
    await started(speaker)
    waits = ask(replies, 2)
    with pytest.raises(SlowError):
        await slow
    await asyncio.sleep(0.3)

    speaker.finish.set()

    assert (await waits).messages == ("Hugo",)


async def test_a_slow_generation_is_stopped_and_the_model_is_free(asking):
    speaker = Slow()
    replies = asking(speaker, seconds=0.2)

    with pytest.raises(SlowError):
        await ask(replies, 1)

    speaker.finish.set()
    assert (await ask(replies, 1)).messages == ("Hugo",)


@pytest.mark.parametrize(
    ("error", "expected", "reason"),
    [
        (ServerBusyError("full"), BusyError, "server busy"),
        (ServerError("gone"), SlowError, "server failed"),
    ],
)
async def test_a_generation_server_that_cannot_answer_is_told_from_a_slow_model(
    asking, error, expected, reason
):
    class Remote(Slow):
        def reply(self, *_):
            raise error

    replies = asking(Remote())

    with pytest.raises(expected):
        await ask(replies, 1)

    assert replies.measurements.unanswered == {reason: 1}
    assert replies.pending == 0


async def test_a_generation_without_a_waiting_caller_is_stopped(asking):
    speaker = Slow()
    replies = asking(speaker)
    asked = ask(replies, 1)
    await started(speaker)
    asked.cancel()
    again = ask(replies, 1)
    await started(speaker, 2)

    speaker.finish.set()

    assert (await again).messages == ("Hugo",)


async def test_a_reply_that_waits_too_long_fails_as_busy(asking):
    speaker = Slow()
    replies = asking(speaker, queue_seconds=0.1)
    first = ask(replies, 1)
    await started(speaker)

    with pytest.raises(QueueError):
        await ask(replies, 2)

    speaker.finish.set()
    assert (await first).messages == ("Hugo",)
    assert (await ask(replies, 2)).messages == ("Hugo",)


async def test_closing_stops_the_generation_and_all_waiting_calls(asking):
    speaker = Slow()
    replies = asking(speaker)
    asked = [ask(replies, 1), ask(replies, 2)]
    await started(speaker)

    replies.close()

    for one in (*asked, ask(replies, 3)):
        with pytest.raises(StoppingError):
            await one
    assert len(speaker.voices) == 1


async def test_several_chats_are_answered_at_a_time_but_each_chat_in_order(asking):
    speaker = Slow()
    replies = asking(speaker, max_parallel=2)
    asked = [ask(replies, 1, "1a"), ask(replies, 1, "1b"), ask(replies, 2, "2a")]
    asked += [ask(replies, 3, "3a")]
    await started(speaker, 2)
    await asyncio.sleep(0.1)
    running = set(speaker.voices)
    speaker.finish.set()
    await asyncio.gather(*asked)

    assert running == {"1a", "2a"}
    assert set(speaker.voices[2:]) == {"3a", "1b"}


async def test_the_turn_of_a_cancelled_task_passes_to_the_next():
    semaphore = FairSemaphore(1)
    await semaphore.acquire(1)
    leaves, stays = (
        asyncio.create_task(semaphore.acquire(2)),
        asyncio.create_task(semaphore.acquire(3)),
    )
    await asyncio.sleep(0)

    semaphore.release(1)
    leaves.cancel()

    await asyncio.wait_for(stays, 5)


class TestThroughTheBot:
    async def test_a_chat_that_waits_for_others_is_told_once(self, stage, hugo, joao, monkeypatch):
        monkeypatch.setattr("bot.handlers.speaking.QUEUED_SECONDS", 0.1)
        group = stage.telegram.chat(FRIENDS, title="Friends")
        private = stage.telegram.private(joao)
        async with stage.running(admins="13"):
            stage.speaker.open.clear()
            await stage.telegram.say(group, hugo, "/as João")
            await until(lambda: stage.speaker.asked)

            told = await stage.first_message(private, joao, "/as 李雷")
            stage.speaker.open.set()
            answers = await until(lambda: len(stage.said()) == 3 and stage.said())

        assert told["text"] == EN.queued
        voices = {parse_voice_header(text)[0] for text in answers if text != EN.queued}
        assert voices == {"João", "李雷"}  # in either order: they are sent to different chats

    async def test_a_simulation_that_waits_too_long_says_why(self, stage, hugo, joao, monkeypatch):
        group = stage.telegram.chat(FRIENDS, title="Friends")
        private = stage.telegram.private(joao)
        async with stage.running(admins="13") as app:
            app.bot_data["state"].replies._queue_seconds = 0.1
            stage.speaker.open.clear()
            await stage.telegram.say(group, hugo, "/as João")
            await until(lambda: stage.speaker.asked)

            told = await stage.answer(private, joao, "/simulate 3")
            again = await stage.answer(private, joao, "/as 李雷")
            stage.speaker.open.set()
            await until(lambda: len(stage.said()) == 3)

        assert [told["text"], again["text"]] == [EN.queue_timeout] * 2


async def test_a_reply_that_starts_while_the_bot_closes_waits_for_the_restart(asking):
    speaker = Slow()
    replies = asking(speaker)

    with pytest.raises(StoppingError):
        await replies.generate(ReplyRequest(Place(1), "Hugo", AT), on_start=replies.close)

    assert speaker.voices == []
    assert not replies._semaphore._holders
