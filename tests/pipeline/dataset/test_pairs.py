from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.chat.conversation import Message, Window
from model.chat.eligibility import add_voice_header, make_lines, target_text
from model.chat.person import Person
from model.chat.prompt import build_context
from model.chat.roster import Roster
from pipeline.dataset.pairs import SessionRules, find_doubts, make_pairs, make_sessions
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


def sessions_of(messages, roster=ROSTER, window=None, **more):
    """Return the sessions of messages that come in order of time, in whatever topics."""
    by_topic = sorted(messages, key=lambda message: message.topic_id or 0)
    return make_sessions(by_topic, SessionRules(roster, window or Window(), **more))


def pairs_of(messages, roster=ROSTER, window=None, **more):
    """Return the pairs of these sessions."""
    return list(make_pairs(sessions_of(messages, roster, window, **more), -5, window or Window()))


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
    pairs = pairs_of(
        said((ANA, "a", 0), (BOT, add_voice_header("Hugo", "as him"), 5), (ANA, "b", 10))
    )

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


def test_sessions_are_numbered_topic_by_topic_and_know_their_pairs():
    early = said((ANA, "early", 0), (HUGO, "now", 90_000), topic=4)
    late = said((ANA, "late", 50_000), (HUGO, "later", 50_009), topic=7)

    found = list(sessions_of([*early, *late]))
    pairs = make_pairs(found, -5, Window())

    assert [(s.number, [line.text for line in s.lines]) for s in found] == [
        (0, ["early"]), (1, ["now"]), (2, ["late", "later"]),
    ]  # fmt: skip
    assert [(p.target, p.session, p.since) for p in pairs] == [
        (("now",), 1, 0), (("later",), 2, 2),
    ]  # fmt: skip
    assert found[1].lines[0].sent_at == NOON + timedelta(seconds=90_000)


def test_messages_are_taken_one_by_one_and_not_all_before_the_first_session():
    taken = []

    def watched():
        for message in said(*((ANA, str(n), n * 9_000) for n in range(100))):
            taken.append(message)
            yield message

    next(make_sessions(watched(), SessionRules(ROSTER, Window())))

    assert len(taken) <= 3


@pytest.mark.parametrize(("seconds", "turns"), [(60, 1), (61, 2)])
def test_a_pause_of_60_seconds_is_one_turn_and_a_longer_one_is_two(seconds, turns):
    pairs = pairs_of(said((ANA, "a", 0), (HUGO, "b", 10), (HUGO, "c", 10 + seconds)))

    assert len(pairs) == turns


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("[photo] nice", "nice"),
        ("[voice 0:07] listen", "listen"),
        ("[photo] /start", None),
        ("[photo]", None),
        ("[phone] call me", None),
        ("call me on +351 912 345 678", None),
        ("write to ana@example.org", None),
        ("[photo] [link]", None),
        ("a [photo] of us", None),
        ("[poll] where to?", None),
        ("[photo] see [here]", None),
    ],
)
def test_a_caption_may_be_learned_and_no_other_bracketed_word(text, target):
    pairs = pairs_of(said((ANA, "well?", 0), (HUGO, text, 9)))

    assert [pair.target for pair in pairs] == ([(target,)] if target else [])


def test_of_a_turn_with_a_phone_number_the_other_messages_are_learned():
    pairs = pairs_of(
        said((ANA, "well?", 0), (HUGO, "call", 5), (HUGO, "912 345 678", 6), (ANA, "ok", 9))
    )

    assert [(p.target, p.context) for p in pairs] == [
        (("call",), ("Ana: well?",)),
        (("ok",), ("Ana: well?", "Hugo: call", "Hugo: [phone]")),
    ]


@pytest.mark.parametrize(("length", "is_wall"), [(1_500, False), (1_501, True)])
def test_a_pasted_wall_is_cut_where_it_is_seen_and_is_never_learned(length, is_wall):
    wall = ("word " * 400)[: length - 1] + "!"

    targets = pairs_of(said((ANA, "well?", 0), (HUGO, wall, 9)))
    (after,) = pairs_of(said((HUGO, wall, 0), (ANA, "wow", 9)))

    assert [pair.target for pair in targets] == ([] if is_wall else [(wall,)])
    seen = after.context[0]
    assert seen.endswith("[long text]") is is_wall
    assert (len(seen) < 220) is is_wall


def test_surplus_texts_are_marked_in_the_target():
    talk = said((ANA, "a", 0), (HUGO, "first", 5), (HUGO, "again", 6), (ANA, "b", 100))

    pairs = pairs_of(talk, repeats={(HUGO, "again"): (10, 0)})

    assert [(p.target, p.surplus) for p in pairs] == [(("first", "again"), (1,)), (("b",), ())]
    assert pairs[1].context == ("Ana: a", "Hugo: first", "Hugo: again")


def test_a_doubtful_target_is_found_with_why():
    pairs = pairs_of(
        said((ANA, "same?", 0), (HUGO, "same?", 5), (ANA, "42", 10), (HUGO, "yes", 15))
    )

    doubts = [find_doubts(pair.context, pair.target) for pair in pairs]
    assert doubts == [("echo",), ("lone number",), ()]


def test_two_accounts_of_one_friend_take_one_turn():
    roster = Roster((Person("Hugo", (HUGO, 10)), Person("Ana", (ANA,))))

    (pair,) = pairs_of(said((ANA, "a", 0), (HUGO, "b", 5), (10, "c", 9)), roster)

    assert (pair.voice, pair.target) == ("Hugo", ("b", "c"))


def test_the_quiet_are_context_under_their_name_and_no_voice():
    roster = Roster((Person("Hugo", (HUGO,)), Person("Ana", (ANA,), quiet=True)))

    pairs = pairs_of(said((ANA, "a", 0), (HUGO, "b", 5), (ANA, "c", 9), (HUGO, "d", 15)), roster)

    assert [(p.voice, p.context) for p in pairs] == [
        ("Hugo", ("Ana: a",)),
        ("Hugo", ("Ana: a", "Hugo: b", "Ana: c")),
    ]


TEXTS = st.sampled_from(
    [
        "hi",
        "[photo]",
        "[photo] nice",
        "/start",
        "/as Hugo and you?",
        add_voice_header("Hugo", "as him"),
        "a\nb",
        "call +351 912 345 678",
        "word " * 400,
    ]
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
        assert pair.context == build_context(earlier, first.sent_at, ROSTER, window)


@given(talk=TALK)
def test_every_line_that_may_be_learned_is_learned_once_unless_nothing_came_before(talk):
    at, messages = NOON, []
    for number, (who, text, pause, _) in enumerate(talk, 1):
        at += timedelta(seconds=pause)
        messages.append(Message(-5, number, who, None, text, at))

    learned = [text for pair in pairs_of(messages) for text in pair.target]

    lines = make_lines(messages, ROSTER)
    opening = 0
    while opening < len(lines) and lines[opening].author_id == lines[0].author_id and (
        opening == 0 or lines[opening].sent_at - lines[opening - 1].sent_at <= timedelta(seconds=60)
    ):  # fmt: skip
        opening += 1
    assert learned == [text for text in map(target_text, lines[opening:]) if text]
