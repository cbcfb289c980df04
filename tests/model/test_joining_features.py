"""Conversations and features for joining: without words and without withheld people."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.chat.conversation import Message
from model.chat.eligibility import add_voice_header, make_lines
from model.chat.person import Person
from model.chat.roster import Roster
from model.joining import (
    FEATURES,
    LOOKBACK_LINES,
    LineFacts,
    MentionFinder,
    compute_features,
    lines_per_minute,
    split_conversations,
)
from tests.call_count import count_calls

NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)
GAP = timedelta(hours=2)
ANA, RUI, EVA, SA, LI, BOT, STRANGER = 1, 2, 3, 4, 5, 9, 77
ROSTER = Roster(
    (
        Person("Ana", (ANA, 11), aliases=("Aninhas",), imitate="yes"),
        Person("Rui Sá", (RUI,), imitate="yes"),
        Person("Eva", (EVA,), learn="no"),
        Person("Hugo Sá", (SA,)),
        Person("李雷", (LI,)),
    ),
    understudies=frozenset({BOT}),
)


def message(number, who, text="hm", at=0, reply_to=None):
    moment = NOON + timedelta(seconds=at)
    return Message(-5, number, who, f"Name {who}", text, moment, reply_to=reply_to)


def heard(*messages):
    """Return the conversations of messages."""
    return list(split_conversations(make_lines(messages, ROSTER), ROSTER, GAP))


def of(conversation, voice):
    """Return a voice's features by name."""
    return dict(zip(FEATURES, compute_features(conversation, voice), strict=True))


def said(by, at=0, **more):
    return LineFacts(NOON + timedelta(seconds=at), by, **more)


def test_line_facts_have_author_time_and_addressee_but_no_words():
    (conversation,) = heard(
        message(1, ANA, "shall we?", 0),
        message(2, RUI, "call me, Ana", 9, reply_to=1),
        message(3, STRANGER, "me too", 12),
        message(4, 11, "no", 20, reply_to=3),
    )

    assert conversation == [
        said("Ana", 0, question=True, length=9),
        said("Rui Sá", 9, to="Ana", named=("Ana",), length=12),
        said(None, 12, length=6),
        said("Ana", 20, length=2),
    ]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("ANA!", ("Ana",)),
        ("aninhas, vem", ("Ana",)),
        ("banana", ()),
        ("rui?", ("Rui Sá",)),
        ("rui sá and hugo", ("Rui Sá", "Hugo Sá")),
        ("你好李雷吗", ("李雷",)),
        ("Eva?", ()),
    ],
)
def test_a_friend_is_named_by_name_alias_or_unique_first_name(text, names):
    ((line,),) = heard(message(1, STRANGER, text))

    assert line.named == names


@pytest.mark.parametrize(
    ("text", "asks"),
    [("and you?", True), ("you?!", True), ("去吗？我去", True), ("no", False),
     ("https://example.com/watch?v=1", False)],
)  # fmt: skip
def test_a_question_is_recognised_by_its_mark(text, asks):
    ((line,),) = heard(message(1, ANA, text))

    assert line.question == asks


def test_our_bots_lines_have_no_author_and_may_not_be_answered():
    ((line,),) = heard(message(1, BOT, add_voice_header("Ana", "so what?")))

    assert (line.by, line.ours, line.may_be_answered) == (None, True, False)


def test_a_line_that_its_author_repeats_may_not_be_answered():
    (conversation,) = heard(
        message(1, ANA, "Anyone?"), message(2, RUI, "anyone?", 1), message(3, 11, "ANYONE?", 2)
    )

    assert [line.may_be_answered for line in conversation] == [True, True, False]


def test_a_pause_separates_conversations():
    found = heard(message(1, ANA), message(2, RUI, at=7199), message(3, ANA, at=2 * 7200))

    assert [len(conversation) for conversation in found] == [2, 1]


people = st.lists(
    st.builds(
        lambda who, text, gap, back: (who, text, gap, back),
        st.sampled_from([ANA, 11, RUI, EVA, SA, BOT, STRANGER]),
        st.sampled_from(
            [
                "hm",
                "Ana?",
                "Eva, you?",
                add_voice_header("Eva", "me"),
                add_voice_header("Ana", "me"),
            ]
        ),
        st.sampled_from([0, 5, 61, 3600, 7199, 7200]),
        st.integers(0, 4),
    ),
    max_size=40,
)


def chat(rows):
    at, messages = 0, []
    for number, (who, text, gap, back) in enumerate(rows, 1):
        at += gap
        messages.append(message(number, who, text, at, number - back if back else None))
    return messages


@given(people)
def test_excluded_people_do_not_affect_conversations(rows):
    everybody = chat(rows)
    others = [one for one in everybody if one.author_id != EVA]

    assert heard(*everybody) == heard(*others)
    assert not any("Eva" in {said.by, said.to, *said.named} for c in heard(*others) for said in c)


@given(people)
def test_no_feature_looks_further_back_than_the_lookback(rows):
    known = [one for one in chat(rows) if one.author_id not in {EVA, BOT}]
    recent = known[-LOOKBACK_LINES:]

    for whole, part in zip(heard(*known)[-1:], heard(*recent)[-1:], strict=True):
        assert all(
            compute_features(whole, voice) == compute_features(part, voice)
            for voice in ("Ana", "Rui Sá")
        )


@given(people)
def test_every_feature_is_from_minus_one_to_one(rows):
    for conversation in heard(*chat(rows)):
        assert all(-1 <= value <= 1 for value in compute_features(conversation, "Ana"))


def test_replies_names_and_exchanges_count_for_their_addressee():
    conversation = [
        said("Rui Sá"), said("Ana", 5), said("Rui Sá", 9, to="Ana", named=("Ana",), question=True)
    ]  # fmt: skip

    ana, hugo = of(conversation, "Ana"), of(conversation, "Hugo Sá")

    assert [ana[name] for name in ("replied", "named", "exchange", "absent")] == [1, 1, 1, 0]
    assert [hugo[name] for name in ("replied", "named", "exchange", "absent")] == [0, 0, 0, 1]
    assert [hugo[name] for name in ("replied_other", "named_other", "question")] == [1, 1, 1]
    assert (ana["replied_other"], ana["named_other"]) == (0, 0)


def test_time_since_the_last_line_counts_in_lines_and_minutes():
    conversation = [said("Ana"), *(said("Rui Sá", 60 * n) for n in range(1, 5))]

    ana, hugo = of(conversation, "Ana"), of(conversation, "Hugo Sá")

    assert (ana["share"], ana["run"], ana["others"], hugo["others"]) == (0.1, 0.8, 0, 0.1)
    assert 0 < ana["lines_since"] < hugo["lines_since"] == 1
    assert 0 < ana["minutes_since"] < hugo["minutes_since"] == 1
    assert ana["exchange"] == 1


def test_the_pace_counts_the_last_minute():
    conversation = [said("Ana", at) for at in (0, 1, 30, 61)]

    assert lines_per_minute(conversation) == 2


@pytest.mark.parametrize(("hour", "point"), [(0, (0, 1)), (6, (1, 0)), (18, (-1, 0))])
def test_the_hour_is_a_point_on_a_circle(hour, point):
    midnight = NOON - timedelta(hours=12)

    found = of([LineFacts(midnight + timedelta(hours=hour), "Ana")], "Rui Sá")

    assert (found["hour_sin"], found["hour_cos"]) == pytest.approx(point)


REFERENCE_LABELS = ("ana", "rui sa", "sa", "@rui", "🎈 li", "李雷", "雷", "ana-li", "rui.", "b2")


def by_pattern(labels, words):
    """Return the labels that occur in a text, found by slow regular expressions."""
    found = []
    for label in labels:
        is_anywhere = any("\u3400" <= character <= "\u9fff" for character in label)
        pattern = re.escape(label) if is_anywhere else rf"(?<!\w){re.escape(label)}(?!\w)"
        found += [label] if re.search(pattern, words) else []
    return tuple(found)


@given(
    st.lists(
        st.sampled_from([*REFERENCE_LABELS, " ", ", ", "x", "李", "-", "@", "🎈", "_", "ana's"]),
        max_size=12,
    ).map("".join)
)
def test_names_are_found_where_regular_expressions_find_them(words):
    people = tuple(
        Person(f"Friend {n}", (n + 1,), aliases=(label,))
        for n, label in enumerate(REFERENCE_LABELS)
    )
    names = {label: f"Friend {n}" for n, label in enumerate(REFERENCE_LABELS)}

    found = MentionFinder(Roster(people)).find_mentions(words)

    assert found == tuple(names[label] for label in by_pattern(REFERENCE_LABELS, words))


@pytest.mark.parametrize("name", ["Maria {}", "王{}", "🎈{}"])
@pytest.mark.parametrize("text", ["hello there, how was it?", "maria " * 200, "王" * 800])
def test_finding_names_takes_as_many_steps_for_a_thousand_as_for_a_dozen(name, text):
    few, many = (
        MentionFinder(
            Roster(tuple(Person(name.format(10_000 + n), (n + 1,)) for n in range(count)))
        )
        for count in (12, 1_000)
    )

    assert count_calls(lambda: many.find_mentions(text)) <= 1.5 * count_calls(
        lambda: few.find_mentions(text)
    )


@pytest.mark.parametrize("text", ["maria x " * 5, "王" * 40, "🎈 " * 40])
def test_finding_names_takes_linear_time(text):
    index = MentionFinder(
        Roster(
            tuple(
                Person(name.format(n), (n + 1 + 1_000 * place,))
                for place, name in enumerate(("Maria {}", "王{}", "🎈{}"))
                for n in range(40)
            )
        )
    )

    once, often = (
        count_calls(lambda times=times: index.find_mentions(text * times)) for times in (10, 40)
    )

    assert often <= 4.5 * once
