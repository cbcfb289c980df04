"""Files that go up and come back, and calls that are made to go wrong."""

import time
from datetime import timedelta

import httpx
import pytest
from telegram.error import BadRequest, NetworkError, RetryAfter, TimedOut


class TestFiles:
    async def test_a_persons_document_is_downloaded(self, telegram, bot, private, hugo):
        document = telegram.upload("result.json", b"{}")
        await telegram.say(private, hugo, None, document=document, caption="our chat")

        [update] = await bot.get_updates(timeout=0)
        file = await update.message.document.get_file()

        assert update.message.caption == "our chat"
        assert await file.download_as_bytearray() == b"{}"

    async def test_a_file_that_nobody_sent_is_refused(self, bot):
        with pytest.raises(BadRequest, match=r"(?i)invalid file_id"):
            await bot.get_file("nothing")

    @pytest.mark.over_http
    async def test_a_file_is_hidden_from_another_token(self, telegram, telegram_url):
        telegram.upload("result.json", b"{}")

        async with httpx.AsyncClient() as client:
            stranger = await client.get(f"{telegram_url}/file/bot1:X/documents/file-1")
            missing = await client.get(f"{telegram_url}/file/bot{telegram.token}/documents/file-2")

        assert (stranger.status_code, missing.status_code) == (401, 404)


class TestFaults:
    async def test_a_flood_is_told_with_its_pause_and_ends(
        self, telegram, bot, friends, monkeypatch
    ):
        monkeypatch.setenv("PTB_TIMEDELTA", "1")  # else RetryAfter warns of itself
        telegram.fail_next("sendMessage", 429, "Too Many Requests: retry after 3", retry_after=3)

        with pytest.raises(RetryAfter) as refusal:
            await bot.send_message(friends.id, "hi")
        sent = await bot.send_message(friends.id, "hi")

        assert refusal.value.retry_after == timedelta(seconds=3)
        assert sent.message_id == 1

    async def test_a_fault_comes_as_often_as_it_was_planned(self, telegram, bot, friends):
        telegram.fail_next("sendMessage", 400, "Bad Request: no", times=2)

        for _ in range(2):
            with pytest.raises(BadRequest):
                await bot.send_message(friends.id, "hi")
        await bot.send_message(friends.id, "hi")

        assert len(telegram.sent("sendMessage", refused=True)) == 2
        assert len(telegram.sent("sendMessage")) == 1

    async def test_a_dropped_answer_leaves_the_message_in_the_chat(self, telegram, bot, friends):
        telegram.drop_next("sendMessage")

        with pytest.raises(NetworkError):
            await bot.send_message(friends.id, "did it arrive?")

        assert telegram.message(friends, 1)["text"] == "did it arrive?"

    @pytest.mark.over_http
    async def test_a_late_answer_is_to_a_message_that_was_sent_at_once(
        self, telegram, bot, friends
    ):
        telegram.delay_next("sendMessage", 0.5)

        with pytest.raises(TimedOut):
            await bot.send_message(friends.id, "slow", read_timeout=0.1)

        assert telegram.message(friends, 1)["text"] == "slow"

    async def test_a_short_delay_is_only_slow(self, telegram, bot, friends):
        telegram.delay_next("sendMessage", 0.1)
        start = time.monotonic()

        sent = await bot.send_message(friends.id, "slow")

        assert sent.text == "slow"
        assert time.monotonic() - start >= 0.1

    async def test_waiting_for_a_call_that_never_comes_names_what_came(
        self, telegram, bot, friends
    ):
        mark = len(telegram.calls)
        await bot.send_chat_action(friends.id, "typing")

        with pytest.raises(TimeoutError, match=r"no sendMessage .* were \['sendChatAction'\]"):
            await telegram.wait_for("sendMessage", since=mark, timeout=0.05)
