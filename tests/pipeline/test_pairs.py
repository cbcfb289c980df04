from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.conversation import Message, Window
from model.eligible import lines_of, target_text
from model.marker import spoken
from model.prompt import context_at
from model.roster import Person, Roster
from pipeline.pairs import sessions_of
from tests.pipeline.chats import NOON

HUGO, ANA, RUI, BOT = 1, 2, 3, 9
ROSTER = Roster(
    (
        Person("Hugo", (HUGO,), imitate="yes"),
        Person("Ana", (ANA,)),
        Person("Rui", (RUI,), learn="no"),
    ),
    understudies=frozenset({BOT}),
)


def said(*spoken_at, topic=None):
    """Return messages of (author, text, second), numbered from 1."""
    return [
        Message(-5, n, who, f"Name {who}", text, NOON + timedelta(seconds=at), topic_id=topic)
        for n, (who, text, at) in enumerate(spoken_at, 1)
    ]


def pairs_of(messages, roster=ROSTER, window=None):
    return [
        p for session in sessions_of(messages, roster, window or Window()) for p in session.pairs
    ]


def test_a_turn_answers_what_came_before_it():
    pairs = pairs_of(
        said((ANA, "hey", 0), (HUGO, "hi", 9), (HUGO, "all well?", 20), (ANA, "yes", 30))
    )

    assert [(p.voice, p.context, p.target) for p in pairs] == [
        ("Hugo", ("Ana: hey",), ("hi", "all well?")),
        ("Ana", ("Ana: hey", "Hugo: hi", "Hugo: all well?"), ("yes",)),
    ]
    assert [(p.message_ids, p.context_ids) for p in pairs] == [((2, 3), (1,)), ((4,), (1, 2, 3))]
    assert [p.id for p in pairs] == ["-5/2", "-5/4"]
    assert pairs[0].sent_at == NOON + timedelta(seconds=9)


def test_the_first_message_of_a_chat_answers_nothing_and_the_end_of_the_chat_is_not_before_it():
    pairs = pairs_of(said((ANA, "first", 0), (HUGO, "last", 5)))

    assert [p.context for p in pairs] == [("Ana: first",)]


def test_a_new_session_looks_at_the_end_of_the_one_before_and_drops_it_once_two_spoke():
    day = 86_400
    talk = [(ANA, str(n), n * 70) for n in range(8)]

    pairs = pairs_of(said(*talk, (HUGO, "new", day), (ANA, "day", day + 5), (HUGO, "yes", day + 9)))

    assert [p.context for p in pairs[-3:]] == [
        ("Ana: 3", "Ana: 4", "Ana: 5", "Ana: 6", "Ana: 7"),
        ("Ana: 3", "Ana: 4", "Ana: 5", "Ana: 6", "Ana: 7", "Hugo: new"),
        ("Hugo: new", "Ana: day"),
    ]


def test_a_turn_begins_with_its_photo_though_nobody_learns_to_say_one():
    pairs = pairs_of(said((ANA, "show me", 0), (HUGO, "[photo]", 5), (HUGO, "this is it", 10)))

    assert [(p.message_ids, p.context, p.target) for p in pairs] == [
        ((2, 3), ("Ana: show me",), ("this is it",))
    ]


def test_a_turn_of_nothing_that_may_be_learned_makes_no_pair():
    talk = said((ANA, "a", 0), (HUGO, "[sticker]", 5), (RUI, "private", 10), (7, "a stranger", 20))

    assert pairs_of(talk) == []


def test_the_bot_is_context_and_never_a_target():
    pairs = pairs_of(said((ANA, "a", 0), (BOT, spoken("Hugo", "as him"), 5), (ANA, "b", 10)))

    assert [(p.voice, p.context) for p in pairs] == [("Ana", ("Ana: a", "Hugo: as him"))]


def test_who_is_withheld_stands_without_name_or_words():
    pairs = pairs_of(said((ANA, "a", 0), (RUI, "one", 5), (RUI, "two", 6), (HUGO, "b", 10)))

    assert [p.context for p in pairs] == [("Ana: a", "[…]")]
    assert pairs[0].context_ids == (1, 2, 3)


def test_two_topics_that_talk_at_once_are_two_conversations():
    trips = said((ANA, "when?", 0), (HUGO, "friday", 20), topic=10)
    food = [
        Message(-5, 100 + m.message_id, m.author_id, None, m.text, m.sent_at, topic_id=20)
        for m in said((ANA, "rice?", 1), (HUGO, "pasta", 21))
    ]
    mixed = sorted([*trips, *food], key=lambda m: m.sent_at)

    pairs = pairs_of(mixed)

    assert [(p.context, p.target) for p in pairs] == [
        (("Ana: when?",), ("friday",)),
        (("Ana: rice?",), ("pasta",)),
    ]


def test_sessions_come_in_order_of_their_start_whatever_their_topic():
    late = said((ANA, "late", 50_000), topic=None)
    early = said((ANA, "early", 0), (HUGO, "now", 90_000), topic=4)

    starts = [s.lines[0].text for s in sessions_of([*late, *early], ROSTER, Window())]

    assert starts == ["early", "late", "now"]


@pytest.mark.parametrize("seconds, turns", [(60, 1), (61, 2)])  # noqa: PT006
def test_a_pause_of_60_seconds_is_one_turn_and_a_longer_one_is_two(seconds, turns):
    pairs = pairs_of(said((ANA, "a", 0), (HUGO, "b", 10), (HUGO, "c", 10 + seconds)))

    assert len(pairs) == turns


TEXTS = st.sampled_from(
    ["hi", "[photo]", "/start", "/as Hugo and you?", spoken("Hugo", "as him"), "a\nb"]
)
TALK = st.lists(
    st.tuples(
        st.sampled_from([HUGO, ANA, RUI, BOT, 7]),
        TEXTS,
        st.sampled_from([0, 1, 59, 60, 61, 7199, 7200, 7201, 90_000]),
        st.sampled_from([None, 10]),
    ),
    max_size=40,
)
WINDOWS = st.builds(
    Window, size=st.integers(1, 12), short=st.integers(0, 6), fill=st.integers(0, 6)
)  # fmt: skip


@given(talk=TALK, window=WINDOWS)
def test_every_pair_has_the_context_that_serving_would_build_at_its_place(talk, window):
    at, messages = NOON, []
    for number, (who, text, pause, topic) in enumerate(talk, 1):
        at += timedelta(seconds=pause)
        messages.append(Message(-5, number, who, f"Name {who}", text, at, topic_id=topic))

    pairs = pairs_of(messages, window=window)

    for pair in pairs:
        first = next(m for m in messages if m.message_id == pair.message_ids[0])
        earlier = [
            m for m in messages
            if m.topic_id == first.topic_id and m.message_id < first.message_id
        ]  # fmt: skip
        assert pair.context == context_at(earlier, first.sent_at, ROSTER, window)


@given(talk=TALK)
def test_every_line_that_may_be_learned_is_learned_once_unless_nothing_came_before(talk):
    at, messages = NOON, []
    for number, (who, text, pause, _) in enumerate(talk, 1):
        at += timedelta(seconds=pause)
        messages.append(Message(-5, number, who, None, text, at))

    learned = [text for pair in pairs_of(messages) for text in pair.target]

    lines = lines_of(messages, ROSTER)
    opening = 0
    while opening < len(lines) and lines[opening].author_id == lines[0].author_id and (
        opening == 0 or lines[opening].sent_at - lines[opening - 1].sent_at <= timedelta(seconds=60)
    ):  # fmt: skip
        opening += 1
    assert learned == [text for text in map(target_text, lines[opening:]) if text]
