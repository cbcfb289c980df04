"""The store on an SQLite file and on a PostgreSQL server: the same behaviour on both."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from bot.store import Store
from bot.store.database import open_database
from bot.store.erasure import ErasureQuery
from bot.store.groups import Group, StoredDecision
from bot.store.inbox import MAX_CRASHES, Inbox, Received
from bot.store.messages import Place, Ref, Sticker
from bot.store.outbox import Turn
from bot.store.quizzes import Quiz
from bot.store.send_log import Part
from model.chat.conversation import Message

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
CHAT = -5
HERE = Place(CHAT)
VOICE = "João"


@pytest.fixture
async def store(migrated):
    async with open_database(migrated) as database:
        yield Store.of(database)


def said(number, author=7, words="hello", **more):
    return Message(CHAT, number, author, "Ana", words, AT + timedelta(seconds=number), **more)


async def all_messages(store):
    return [one.message_id for one in await store.messages.find_newest(HERE, 99, lambda _: True)]


async def speak(store, number, made_from, person_id=9):
    """Store a message of the bot's in a voice."""
    part = Part(500 + number, 0)
    turn = Turn(VOICE, person_id, "0001", made_from, ("words",))
    await store.inbox.store([{"update_id": part.update_id}])
    await store.outbox.begin(part, HERE)
    await store.outbox.keep_turn(part, HERE, turn)
    sent = said(number, author=42, words="🎭 João\nwords", is_from_bot=True)
    await store.outbox.advance(part, turn.without_first("sent"), sent)


async def test_an_update_waits_until_it_ends_and_its_message_is_stored(store):
    assert await store.inbox.store([{"update_id": 1}, {"update_id": 2}]) == {1, 2}
    assert await store.inbox.store([{"update_id": 2}, {"update_id": 3}]) == {3}

    assert await store.inbox.begin(1, Received(said(10)))
    await store.inbox.end(1)
    assert not await store.inbox.begin(1)

    assert [one["update_id"] for one in await store.inbox.waiting()] == [2, 3]
    assert await all_messages(store) == [10]


async def test_an_update_on_which_the_bot_crashes_is_set_aside(store):
    await store.inbox.store([{"update_id": 1}, {"update_id": 2}])
    for _ in range(MAX_CRASHES + 1):
        again = Inbox(store.database)
        aside = await again.count_crashes()
        if not aside:
            await again.begin(1)
            await again.mark(1, working=True)

    assert aside == [1]
    queue = await store.inbox.count_open()
    assert (queue.waiting, queue.set_aside) == (1, 1)
    assert await store.inbox.newest_aside(5) == [1]


@pytest.mark.parametrize("words", ["nul \0 inside", "half of 😀 \U0001f600", "'; DROP TABLE x; --"])
async def test_any_text_is_stored(store, words):
    await store.messages.save(said(1, words=words))

    found = await store.messages.find(CHAT, 1)

    assert found.text.replace("\0", "") == words.replace("\0", "")


async def test_a_person_is_erased_with_all_that_came_from_their_words(store):
    for number in range(1, 6):
        await store.messages.save(said(number, author=7 + number % 2))
    await speak(store, 20, (1,))
    await speak(store, 21, (2,))
    await store.reactions.replace(CHAT, 20, 8, ["👍"])
    await store.reactions.replace(CHAT, 21, 8, ["👍", "🔥"])

    marked = await store.eraser.mark(ErasureQuery(authors=frozenset({8})), AT)
    await store.eraser.erase(ErasureQuery(authors=frozenset({8})), marked.lines)

    assert marked.messages == 3
    assert marked.lines == {Ref(CHAT, 20)}
    assert await all_messages(store) == [2, 4, 21]
    assert await store.outbox.find_turn(CHAT, 20) is None
    assert await store.reactions.counts(CHAT, 21) == {}
    await store.messages.save(said(1, author=8, words="again"))
    assert await all_messages(store) == [2, 4, 21]


async def test_what_waits_is_forgotten_if_it_came_before_the_command(store):
    def update(number, author):
        about = {"chat": {"id": CHAT}, "from": {"id": author}, "text": "hello"}
        return {"update_id": number, "message": {"message_id": number, **about}}

    vote = {"update_id": 4, "poll_answer": {"poll_id": "1", "user": {"id": 8}, "option_ids": [0]}}
    wanted = ErasureQuery(authors=frozenset({8}))
    await store.inbox.store([update(1, 8), update(2, 7), update(3, 8), vote, update(6, 8)])
    await store.inbox.begin(3, Received(said(3, author=8)))

    marked = await store.eraser.mark(wanted, AT, 5)
    await store.eraser.erase(wanted, marked.lines, 5)
    for number in (1, 2, 4, 6):
        await store.inbox.begin(number, Received(said(number)) if number != 4 else None)

    assert marked.messages == 2
    assert await all_messages(store) == [2, 6]
    waiting = {one["update_id"]: one["message"].get("text") for one in await store.inbox.waiting()}
    assert waiting == {1: None, 2: "hello", 3: None, 6: "hello"}


async def test_an_undeleted_line_keeps_only_the_row_that_says_so(store):
    await store.messages.save(said(1, author=8))
    await speak(store, 20, (1,))
    wanted = ErasureQuery(authors=frozenset({8}))

    marked = await store.eraser.mark(wanted, AT)
    await store.eraser.erase(wanted, marked.lines, None, marked.lines)
    kept = await store.outbox.find_turn(CHAT, 20)
    quiz = Quiz("poll", CHAT, 20, 0, VOICE, is_machine=False, version="0001", asked_at=AT)
    await store.quizzes.add(quiz)

    assert kept == Turn(VOICE, 9, "0001", ())
    assert await all_messages(store) == []
    assert await store.quizzes.find_chat_id("poll") is None
    assert await store.outbox.find_withdrawn(AT) == ()
    assert await store.outbox.find_withdrawn(AT + timedelta(seconds=1)) == (Ref(CHAT, 20),)


async def test_a_line_without_a_row_gets_one_until_it_is_deleted(store):
    wanted, line = ErasureQuery(own=(Ref(CHAT, 20),)), Ref(CHAT, 20)

    marked = await store.eraser.mark(wanted, AT)
    must_go = await store.outbox.find_withdrawn(AT + timedelta(seconds=1))
    await store.eraser.erase(wanted, marked.lines)

    assert must_go == (line,)
    assert await store.outbox.find_withdrawn(AT + timedelta(seconds=1)) == ()


async def test_old_messages_expire_and_others_stay(store):
    await store.messages.save(said(1))
    await store.messages.save(said(2, author=8))
    await store.messages.save(said(3, author=8, is_forward=True))

    assert await store.eraser.authors_before(AT + timedelta(days=1)) == {CHAT: {7, 8}}
    assert await store.eraser.expire(AT + timedelta(days=1), [7]) == 2
    assert await all_messages(store) == [2]


async def test_messages_expire_by_chat_and_not_where_they_are_spared(store):
    elsewhere, spared = CHAT - 1, CHAT - 2
    for chat_id in (CHAT, elsewhere, spared):
        for number, author in enumerate((7, 8), 1):
            message = replace(said(number, author=author), chat_id=chat_id)
            await store.messages.save(message)

    count = await store.eraser.expire(
        AT + timedelta(days=1), [8], {CHAT: [7], spared: [7]}, spared=[spared]
    )

    left = await store.eraser.authors_before(AT + timedelta(days=1))
    assert count == 3
    assert left == {elsewhere: {7}, spared: {7, 8}}


async def test_what_was_said_in_a_persons_voice_is_erased_but_not_a_namesakes(store):
    for number, person_id in ((20, 7), (30, 8)):
        await speak(store, number, (), person_id=person_id)
    wanted = ErasureQuery(authors=frozenset({7}))

    marked = await store.eraser.mark(wanted, AT)

    assert marked.lines == {Ref(CHAT, 20)}


async def test_how_a_line_was_made_is_known(store):
    await speak(store, 20, (1, 2))

    assert (await store.outbox.find_turn(CHAT, 20)).sources == (1, 2)
    assert await store.outbox.count("sent") == 1


async def test_a_persons_names_are_stored_with_the_update_the_latest_last(store):
    await store.inbox.store([{"update_id": number} for number in range(1, 5)])
    for number, name in enumerate(("b", "A", "\0ü 😀", "b"), 1):
        assert await store.inbox.begin(number, Received(None, names={7: name, 8: "x"}))
    await store.inbox.end(4)
    assert not await store.inbox.begin(4, Received(None, names={9: "y"}))

    found = await store.names.all()
    await store.names.delete([7])

    assert [name.replace("\0", "") for name in found[7]] == ["A", "ü 😀", "b"]
    assert await store.names.all() == {8: ["x"]}


async def test_groups_and_decisions(store):
    group = Group(CHAT, "Friends \0", allowed=frozenset({-7, -6}), chatty=30, quiet_until=AT)
    await store.groups.save(Group(CHAT))
    await store.groups.save(group)
    await store.decisions.add(StoredDecision(7, "optin", AT, CHAT))
    await store.decisions.add(StoredDecision(7, "optout", AT + timedelta(seconds=1), CHAT))
    await store.decisions.add(StoredDecision(8, "optin", AT, CHAT))

    [kept] = (await store.groups.all()).values()
    decisions = await store.decisions.all()

    assert (kept.allowed, kept.quiet_until, kept.chatty) == ({-7, -6}, AT, 30)
    kinds = {number: [one.kind for one in own] for number, own in decisions.items()}
    assert kinds == {7: ["optin", "optout"], 8: ["optin"]}


async def kinds_of_7(store):
    return [one.kind for one in (await store.decisions.all())[7]]


async def test_a_decision_whose_update_is_handled_again_is_stored_once(store):
    optin = StoredDecision(7, "optin", AT, CHAT, 1)
    await store.decisions.add(optin)
    await store.decisions.add(StoredDecision(7, "optout", AT, 7, 2))
    await store.decisions.add(replace(optin, at=AT + timedelta(minutes=1)))

    assert await kinds_of_7(store) == ["optin", "optout"]


async def test_a_decision_handled_late_counts_before_those_sent_after_it(store):
    await store.decisions.add(StoredDecision(7, "optout", AT, CHAT))
    await store.decisions.add(StoredDecision(7, "optout", AT, 7, 41))
    await store.decisions.add(StoredDecision(7, "optin", AT + timedelta(minutes=1), CHAT, 40))

    assert await kinds_of_7(store) == ["optout", "optin", "optout"]


async def test_an_optout_is_never_taken_for_older_than_what_was_handled_before_it(store):
    await store.decisions.add(StoredDecision(7, "optin", AT + timedelta(days=3), CHAT, 900))
    await store.decisions.add(StoredDecision(7, "optout", AT, 7, 5))  # of another bot's numbers

    assert await kinds_of_7(store) == ["optin", "optout"]


async def test_update_ids_that_begin_again_do_not_change_the_order(store):
    await store.decisions.add(StoredDecision(7, "optout", AT, CHAT, 900))
    await store.decisions.add(StoredDecision(7, "optin", AT + timedelta(days=8), CHAT, 5))

    assert await kinds_of_7(store) == ["optout", "optin"]


async def test_stickers_are_counted(store):
    for number, file in enumerate(("a", "b", "b")):
        sticker = Sticker(CHAT, "😂", file, f"{file}-id")
        await store.inbox.store([{"update_id": number}])
        await store.inbox.begin(number, Received(None, sticker=sticker))

    assert await store.stickers.favourite(CHAT, "😂") == "b-id"


async def test_a_quiz_counts_first_answers(store):
    await store.messages.save(said(1))
    quiz = Quiz("poll", CHAT, 30, 1, VOICE, is_machine=True, version="0001", asked_at=AT)
    await speak(store, quiz.message_id, [1])
    await store.quizzes.add(quiz)
    await store.quizzes.add(replace(quiz, poll_id="other", message_id=31))  # erased meanwhile

    assert await store.quizzes.answer("poll", 7, "Ana", 1)
    assert not await store.quizzes.answer("poll", 7, "Ana", 0)
    assert await store.quizzes.answer("poll", 8, "Rui", 0)
    assert not await store.quizzes.answer("other", 7, "Ana", 1)

    score = await store.quizzes.score(CHAT)
    assert [(one.name, one.right, one.total) for one in score.people] == [
        ("Ana", 1, 1),
        ("Rui", 0, 1),
    ]
    assert (score.fooled, score.machine) == (1, 2)
