"""Joining in unprompted, `/chatty` and `/quiet`, through the real bot."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from bot.handlers import join_in
from bot.handlers.join_in import is_night, parse_duration
from bot.services.replies import BusyError, SlowError
from bot.texts import EN
from model.chat.eligibility import add_voice_header, parse_voice_header
from model.errors import VoiceError
from model.joining import FEATURES, LEVELS, Propensity, VoiceWeights, write_propensity
from tests.bot.conftest import until

ALWAYS = VoiceWeights(20.0, (0.0,) * len(FEATURES), {}, (0.5,) * len(LEVELS))


@pytest.fixture(autouse=True)
def _by_day(monkeypatch):
    monkeypatch.setattr(join_in, "NIGHT", (24, 0))


@pytest.fixture
def stage(stage):
    """The stage with a model in which João answers everybody."""
    folder = stage.folder / "0001-abcdef01"
    folder.mkdir()
    write_propensity(Propensity({"João": ALWAYS}), folder)
    return stage


@pytest.fixture
async def chatty(live, group, hugo):
    """The running bot at the highest level of `/chatty`."""
    await live.telegram.set_status(group, hugo, "administrator")
    answer = await live.answer(group, hugo, "/chatty 100")
    assert answer["text"] == EN.chatty_level.format(level=100)
    return live


async def silence_after(live, group, user, since):
    """Whether the bot sent nothing in a voice since, once it is idle."""
    await live.answer(group, user, "/help")
    return not [
        call
        for call in live.telegram.calls[since:]
        if call.method == "sendMessage" and parse_voice_header(call.params["text"])
    ]


async def test_it_joins_in_as_the_friend_most_likely_to_answer(chatty, group, zoe):
    answer = await chatty.answer(group, zoe, "what about friday?")

    assert answer["text"].startswith("🎭 João\n")
    assert chatty.speaker.context[-1] == "Zoe: what about friday?"


async def test_it_never_joins_in_by_default(live, group, zoe):
    since = len(live.telegram.calls)
    await live.telegram.say(group, zoe, "what about friday?")

    assert await silence_after(live, group, zoe, since)


async def test_only_people_who_agreed_are_imitated(stage, group, hugo, zoe, card):
    people = tuple(replace(p, imitate="ask") if p.name == "João" else p for p in card.roster.people)
    await stage.telegram.set_status(group, hugo, "administrator")
    async with stage.running(replace(card, roster=replace(card.roster, people=people))):
        await stage.answer(group, hugo, "/chatty 100")
        since = len(stage.telegram.calls)
        await stage.telegram.say(group, zoe, "what about friday?")

        assert await silence_after(stage, group, zoe, since)


async def test_a_reply_to_a_line_is_answered_once(chatty, group, zoe):
    line = await chatty.answer(group, zoe, "what about friday?")
    since = len(chatty.telegram.calls)

    await chatty.answer(group, zoe, "why?", reply_to=line)
    await chatty.answer(group, zoe, "/help")

    sent = [c for c in chatty.telegram.calls[since:] if c.method == "sendMessage"]
    assert sum(bool(parse_voice_header(c.params["text"])) for c in sent) == 1


@pytest.mark.parametrize("text", ["/unknown", "/as@other_bot x"], ids=["a command", "another's"])
async def test_it_does_not_answer_commands(chatty, group, zoe, text):
    since = len(chatty.telegram.calls)
    await chatty.telegram.say(group, zoe, text)

    assert await silence_after(chatty, group, zoe, since)


async def test_it_does_not_answer_consecutive_messages_of_one_author(chatty, group, zoe):
    await chatty.answer(group, zoe, "what about friday?")
    since = len(chatty.telegram.calls)

    await chatty.telegram.say(group, zoe, "what about friday?")

    assert await silence_after(chatty, group, zoe, since)


async def test_it_does_not_answer_as_the_author(chatty, group, joao, zoe):
    since = len(chatty.telegram.calls)
    await chatty.telegram.say(group, joao, "what about friday?")

    assert await silence_after(chatty, group, zoe, since)


async def test_it_joins_in_a_limited_number_of_times_an_hour(chatty, group, zoe, monkeypatch):
    monkeypatch.setattr(join_in, "MAX_JOINS_PER_HOUR", 2)
    for number in range(2):
        await chatty.answer(group, zoe, f"what about friday number {number}?")
    since = len(chatty.telegram.calls)

    await chatty.telegram.say(group, zoe, "and saturday?")

    assert await silence_after(chatty, group, zoe, since)


async def test_it_keeps_out_of_a_fast_conversation(chatty, group, hugo, zoe, monkeypatch):
    monkeypatch.setattr(join_in, "BUSY_MESSAGES", 3)
    await chatty.answer(group, zoe, "no!")
    since = len(chatty.telegram.calls)

    await chatty.telegram.say(group, hugo, "yes!")

    assert await silence_after(chatty, group, zoe, since)


async def test_it_does_not_join_in_at_night(chatty, group, zoe, monkeypatch):
    monkeypatch.setattr(join_in, "NIGHT", (0, 24))
    since = len(chatty.telegram.calls)

    await chatty.telegram.say(group, zoe, "anybody awake?")

    assert await silence_after(chatty, group, zoe, since)


async def test_late_messages_are_not_answered(chatty, group, zoe):
    since = len(chatty.telegram.calls)
    await chatty.telegram.say(
        group, zoe, "an hour ago", date=int((datetime.now(UTC) - timedelta(hours=1)).timestamp())
    )

    assert await silence_after(chatty, group, zoe, since)


@pytest.mark.parametrize(
    ("span", "written"), [("30m", "30 minutes"), ("1h", "1 hour"), ("48h", "2 days")]
)
async def test_anyone_can_silence_it_at_once(chatty, group, zoe, span, written):
    answer = await chatty.answer(group, zoe, f"/quiet {span}")
    since = len(chatty.telegram.calls)
    await chatty.telegram.say(group, zoe, "what about friday?")
    silent = await silence_after(chatty, group, zoe, since)
    await chatty.answer(group, zoe, "/quiet off")
    again = await chatty.answer(group, zoe, "what about saturday?")

    assert answer["text"] == EN.quiet_on.format(time=written)
    assert silent
    assert again["text"].startswith("🎭 João\n")


@pytest.mark.parametrize(
    "failure", [VoiceError("nothing"), SlowError("late"), BusyError("too much")]
)
async def test_an_unprompted_reply_fails_silently(chatty, group, zoe, failure):
    since = len(chatty.telegram.calls)
    chatty.speaker.replies.append(failure)

    await chatty.telegram.say(group, zoe, "what about friday?")
    await until(lambda: chatty.speaker.asked)
    await chatty.answer(group, zoe, "/as Hugo Sá")
    await chatty.answer(group, zoe, "/chatty")

    texts = [c.params["text"] for c in chatty.telegram.calls[since:] if c.method == "sendMessage"]
    assert texts == [
        add_voice_header("Hugo Sá", "Hugo Sá number 2"),
        EN.chatty_level.format(level=100),
    ]


@pytest.mark.parametrize("command", ["/quiet", "/chatty 0", "/stop"])
async def test_an_unprompted_reply_being_generated_is_dropped(chatty, group, hugo, zoe, command):
    since = len(chatty.telegram.calls)
    chatty.speaker.open.clear()
    await chatty.telegram.say(group, zoe, "what about friday?")
    await until(lambda: chatty.speaker.asked)

    await chatty.answer(group, hugo, command)
    chatty.speaker.open.set()
    await chatty.telegram.say(group, zoe, "/as Hugo Sá")
    await chatty.telegram.wait_for(
        "sendMessage", text=add_voice_header("Hugo Sá", "Hugo Sá number 2")
    )

    texts = [c.params["text"] for c in chatty.telegram.calls[since:] if c.method == "sendMessage"]
    assert [parse_voice_header(text)[0] for text in texts if parse_voice_header(text)] == [
        "Hugo Sá"
    ]


async def test_only_group_admins_can_set_chatty(live, group, zoe):
    by_a_member = await live.answer(group, zoe, "/chatty 50")
    by_an_anonymous_admin = await live.answer(group, None, "/chatty 50")
    too_much = await live.answer(group, None, "/chatty 101")
    asked = await live.answer(group, zoe, "/chatty")

    assert by_a_member["text"] == EN.group_admins_only
    assert by_an_anonymous_admin["text"] == asked["text"] == EN.chatty_level.format(level=50)
    assert too_much["text"] == EN.chatty_usage


async def test_a_model_without_propensity_says_so(stage, group, hugo):
    (stage.folder / "0001-abcdef01" / "propensity.json").unlink()
    await stage.telegram.set_status(group, hugo, "administrator")
    async with stage.running():
        answer = await stage.answer(group, hugo, "/chatty 30")

    assert answer["text"] == EN.chatty_unavailable


@pytest.mark.parametrize(
    ("words", "hours"),
    [("", 8), ("8h", 8), ("30m", 0.5), ("2d", 48), ("3", 3), ("off", 0), ("0", 0)],
)
def test_durations_are_parsed(words, hours):
    assert parse_duration(words) == timedelta(hours=hours)


@pytest.mark.parametrize("words", ["soon", "-3h", "9999d", "1h30", "٣h"])
def test_other_words_are_no_duration(words):
    assert parse_duration(words) is None


def test_night_spans_midnight(monkeypatch):
    monkeypatch.setattr(join_in, "NIGHT", (23, 8))
    hours = [datetime(2026, 1, 1, hour).astimezone() for hour in range(24)]

    assert [hour.hour for hour in hours if is_night(hour)] == [0, 1, 2, 3, 4, 5, 6, 7, 23]
