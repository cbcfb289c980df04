"""`/stats`, through the real bot over HTTP."""

import asyncio
import io
import threading
from datetime import UTC, datetime, timedelta

import pytest
from PIL import Image

from bot.handlers import stats
from bot.handlers.stats import MIN_MESSAGES, describe
from bot.services.picture import Picture, PictureTexts, draw_statistics, is_drawable
from bot.services.statistics import PersonStatistics, Statistics, compute_statistics
from bot.store.database import open_database
from bot.store.inbox import Inbox
from bot.store.messages import MessageStore
from bot.store.outbox import Outbox
from bot.store.send_log import Part
from bot.texts import EN, LANGUAGES
from model.chat.conversation import Message
from model.chat.person import Person
from model.chat.roster import Roster
from tests.bot.conftest import FRIENDS, PEOPLE

MONDAY = datetime(2024, 3, 4, 20, 15, tzinfo=UTC)
HUGO, JOAO, ANA, RUI, EVA = 11, 13, 15, 16, 17
OWN_WORDS = {HUGO: "bora 😂", JOAO: "pá", ANA: "abacate", RUI: "ravioli", EVA: "esquilo"}
TEXTS = PictureTexts("Who talks when", "Words of their own", tuple("MTWTFSS"))
FIRST = "📊 24 messages since 2024-03-04, by friends who let me imitate them."


def said(number, author, text, **more):
    """Return a message of the group."""
    fields = {"chat_id": FRIENDS, "author_name": "x", "sent_at": MONDAY, **more}
    return Message(message_id=number, author_id=author, text=text, **fields)


def talk(*authors, each=12):
    """Return messages in which everybody has a word of their own."""
    return [
        said(1 + len(authors) * number + place, author, f"hello {OWN_WORDS[author]} you")
        for number in range(each)
        for place, author in enumerate(authors)
    ]


async def keep(stage, messages):
    """Put messages into the bot's database."""
    async with stage.running():
        pass
    async with open_database(stage.settings().database_url) as database:
        store = MessageStore(database)
        await asyncio.gather(*map(store.save, messages))


@pytest.fixture
def no_picture(monkeypatch):
    """Hide matplotlib."""
    monkeypatch.setattr(stats, "can_draw", lambda: False)


@pytest.fixture
def drawn(monkeypatch):
    """Replace the drawing by a fixed picture; return what was drawn."""
    seen = []
    png = io.BytesIO()
    Image.new("RGB", (4, 4)).save(png, "png")

    def draw(found, texts):
        seen.append((found, texts, threading.current_thread() is threading.main_thread()))
        return Picture(png.getvalue(), frozenset({"Hugo Silva", "João"}))

    monkeypatch.setattr(stats, "draw_statistics", draw)
    return seen


async def test_a_picture_is_drawn_off_the_event_loop_and_sent_once(stage, group, zoe, drawn):
    await keep(stage, talk(HUGO, JOAO))

    async with stage.running():
        await stage.telegram.say(group, zoe, "/stats")
        sent = await stage.telegram.wait_for("sendPhoto")

    ((found, texts, is_in_loop),) = drawn
    assert not is_in_loop
    assert texts.weekdays == ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
    assert [(one.name, one.words) for one in found.people] == [
        ("Hugo Silva", ("bora",)), ("João", ("pá",)),
    ]  # fmt: skip
    caption = sent.params["caption"].splitlines()
    assert caption[0].startswith(FIRST)
    assert caption[1:] == ["Hugo Silva (12): 😂", "João (12)"]
    assert not stage.said()


async def test_without_matplotlib_the_same_figures_are_text(stage, group, zoe, no_picture):
    await keep(stage, talk(HUGO, JOAO))

    async with stage.running():
        answer = await stage.answer(group, zoe, "/stats")

    first, hours, *people = answer["text"].splitlines()
    assert first.startswith(FIRST)
    assert (hours.count("·"), hours.count("█")) == (23, 1)
    assert people == ["Hugo Silva (12): bora 😂", "João (12): pá"]


async def test_a_group_that_forbids_pictures_gets_the_text(stage, group, zoe, drawn):
    await keep(stage, talk(HUGO, JOAO))
    stage.telegram.fail_next("sendPhoto", 400, "Bad Request: not enough rights to send photos")

    async with stage.running():
        answer = await stage.answer(group, zoe, "/stats")

    assert answer["text"].startswith(FIRST)


async def test_only_friends_who_agreed_count_and_only_in_this_topic(stage, group, zoe, no_picture):
    other = [
        *(said(1_000 + number, HUGO, "secret", is_forward=True) for number in range(30)),
        *(said(2_000 + number, HUGO, "secret", topic_id=7) for number in range(30)),
        *(said(3_000 + number, HUGO, "secret", chat_id=-9) for number in range(30)),
    ]
    await keep(stage, [*talk(HUGO, JOAO, ANA, RUI, EVA), *other])

    async with stage.running():
        text = (await stage.answer(group, zoe, "/stats"))["text"]

    assert text.startswith(FIRST)
    assert not [one for one in ("Ana", "Rui", "Eva", "abacate", "secret") if one in text]


async def test_forgotten_messages_and_friends_who_opted_out_do_not_count(
    stage, group, hugo, joao, zoe, no_picture
):
    await keep(stage, talk(HUGO, JOAO))

    async with stage.running():
        await stage.answer(group, joao, "/optout")
        few = await stage.answer(group, zoe, "/stats")
        await stage.answer(group, hugo, "/forget all")
        none = await stage.answer(group, zoe, "/stats")

    assert "here I have only 12 messages" in few["text"]
    assert "here I have only 0 messages" in none["text"]


@pytest.mark.parametrize("command", ["/optout", "/forget all"])
async def test_a_friend_who_withdraws_while_it_is_drawn_is_not_shown(
    stage, group, joao, zoe, drawn, monkeypatch, command
):
    await keep(stage, talk(HUGO, JOAO))
    begun, may_end = threading.Event(), threading.Event()
    draw = stats.draw_statistics

    def slow(*given):
        begun.set()
        assert may_end.wait(10)
        return draw(*given)

    monkeypatch.setattr(stats, "draw_statistics", slow)
    async with stage.running():
        await stage.telegram.say(group, zoe, "/stats")
        await asyncio.to_thread(begun.wait, 10)
        await stage.answer(group, joao, command)
        since = len(stage.telegram.calls)
        may_end.set()
        answer = await stage.telegram.wait_for("sendMessage", since=since)

    assert not stage.telegram.sent("sendPhoto")
    assert "only 12 messages" in answer.params["text"]


async def test_it_is_not_repeated_within_a_minute(stage, group, zoe, no_picture):
    await keep(stage, talk(HUGO, JOAO))

    async with stage.running():
        await stage.answer(group, zoe, "/stats")
        again = await stage.answer(group, zoe, "/stats")

    assert again["text"] == EN.stats_recent


async def test_one_who_asks_in_private_is_sent_to_the_group(stage, joao):
    async with stage.running(admins="13"):
        answer = await stage.answer(stage.telegram.private(joao), joao, "/stats")

    assert answer["text"] == EN.groups_only


@pytest.mark.parametrize("is_sent", [False, True], ids=["before it was sent", "when it was sent"])
async def test_a_killed_bot_sends_it_once(stage, group, zoe, no_picture, is_sent):
    await keep(stage, talk(HUGO, JOAO))
    message = await stage.telegram.say(group, zoe, "/stats")
    stage.telegram.updates.pending.clear()
    async with open_database(stage.settings().database_url) as database:
        inbox, outbox = Inbox(database), Outbox(database)
        await inbox.store([{"update_id": 500, "message": message}])
        await inbox.begin(500)
        place = stats.Place(FRIENDS)
        await outbox.begin(Part(500, 0), place)
        if is_sent:
            await outbox.log.note_attempt(Part(500, 0), place=place)

    async with stage.running():
        await stage.answer(group, zoe, "/help")

    assert [text.startswith(FIRST) for text in stage.said()].count(True) == (not is_sent)


async def test_both_languages_have_seven_days_that_differ_in_three_letters():
    for texts in LANGUAGES.values():
        days = texts.weekdays.split()
        assert len(days) == len({day[:3] for day in days}) == 7


def statistics(*people):
    hours = tuple(tuple((day * hour) % 7 for hour in range(24)) for day in range(7))
    return Statistics(60, MONDAY, hours, people, frozenset())


def test_the_picture_leaves_out_people_whose_words_cannot_be_drawn():
    people = [
        PersonStatistics("$x$ <b>", 9, ("$y$",), ()),
        PersonStatistics("李雷", 8, ("ok",), ()),
        PersonStatistics("Ana", 7, ("哈哈",), ("😂",)),
        PersonStatistics("Sara", 6, ("שלום",), ()),
        PersonStatistics("Zé", 5, (), ()),
        PersonStatistics(
            "A name that is much too long for one line", 4, ("supercalifragil",) * 8, ()
        ),
    ]
    found = statistics(*people)

    drawn = draw_statistics(found, TEXTS)
    image = Image.open(io.BytesIO(drawn.png))
    text = describe(found, EN, drawn.people, with_hours=False)

    assert drawn.people == {people[0].name, people[-1].name}
    assert image.format == "PNG"
    assert image.size[0] == 1_024
    assert text.splitlines()[1:] == [
        "$x$ <b> (9)", "李雷 (8): ok", "Ana (7): 哈哈 😂", "Sara (6): שלום", "Zé (5)",
        "A name that is much too long for one line (4)",
    ]  # fmt: skip


def test_what_cannot_be_drawn():
    assert is_drawable("Não é $x$")
    assert not [text for text in ("李", "ا", "ש", "क") if is_drawable(text)]


def test_private_data_commands_and_names_of_others_are_left_out():
    roster = Roster((*PEOPLE, Person("Vera Cruz", (18,), aliases=("Vevé",), imitate="ask")))
    texts = ["Vera or vevé wrote", "[photo] 🎉🎉", "mail me@example.org"]
    messages = [said(number, HUGO, texts[number % 3]) for number in range(30)]
    messages += [said(100 + number, JOAO, "hello") for number in range(30)]
    commands = [said(200 + number, HUGO, "/as João surely") for number in range(30)]

    found = compute_statistics([*messages, *commands], roster, PEOPLE[:3])

    hugo = next(one for one in found.people if one.name == "Hugo Silva")
    assert set(hugo.words) == {"or", "wrote"}
    assert hugo.emoji == ("🎉",)
    assert found.sources == {one.message_id for one in messages}


def test_hours_are_those_of_the_bots_machine():
    messages = [said(1, HUGO, "a"), said(2, JOAO, "b", sent_at=MONDAY + timedelta(hours=1))]

    found = compute_statistics(messages, Roster(PEOPLE), PEOPLE)

    for message in messages:
        local = message.sent_at.astimezone()
        assert found.hours[local.weekday()][local.hour] == 1
    assert found.since == messages[1].sent_at
    assert MIN_MESSAGES > found.messages == 2
