from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.chat.conversation import Message, Window
from model.chat.person import Person
from model.chat.roster import Roster
from model.errors import DatasetError
from pipeline.dataset.build import build
from pipeline.dataset.pairs import SessionRules, make_pairs, make_sessions, select_half
from pipeline.dataset.split import GAP, SPLITS, SessionSpans, is_judge_session, split
from pipeline.dataset.storage import load_dataset
from tests.pipeline.chats import NOON, chat, conversation, entry, small, topic_created, write

ROSTER = Roster((Person("Hugo", (1,)), Person("Ana", (2,))))
HOUR = 3_600


def spans(*sizes, starts=None, last=0):
    """Return sessions of so many lines each, an hour apart unless their starts are given."""
    made = SessionSpans()
    for number, size in enumerate(sizes):
        start = starts[number] if starts else number * HOUR
        made.add(start, start + last, size)
    return made


def placed(splits, place):
    """Return the numbers of the sessions in a split."""
    return [number for number, where in enumerate(splits) if where == place]


def test_it_is_by_messages_80_5_and_15_percent_in_order_of_time():
    splits = split(spans(*[5] * 200), gap=5)

    train, validation, test = (placed(splits, place) for place in range(3))
    assert train == list(range(160))
    assert validation == list(range(161, 170))
    assert test == list(range(171, 200))
    assert placed(splits, GAP) == [160, 170]


def test_order_is_by_time_whatever_the_order_in_which_sessions_were_found():
    backwards = [number * HOUR for number in reversed(range(200))]

    splits = split(spans(*[5] * 200, starts=backwards), gap=5)

    assert list(splits) == list(reversed(split(spans(*[5] * 200), gap=5)))


def test_validation_gets_more_than_a_rest_between_long_sessions():
    splits = split(spans(*[100] * 7, 95, 2, 3, 100, 100), gap=1)

    parts = [placed(splits, place) for place in range(3)]
    assert parts == [[0, 1, 2, 3, 4, 5], [7, 8, 9], [11]]  # the nearest border left 3 messages


def test_a_session_is_never_cut_and_the_nearest_end_of_one_is_the_border():
    splits = split(spans(3, 70, 2, 9, 30, 2, 4), gap=1)

    assert [placed(splits, place) for place in range(3)] == [[0, 1, 2], [4], [6]]


@pytest.mark.parametrize("share", [0.05, 0.15, 0.3, 0.5])
def test_the_test_has_the_share_that_was_asked_for(share):
    splits = split(spans(*[5] * 1_000), gap=10, test=share)

    assert len(placed(splits, 2)) / 1_000 == pytest.approx(share, abs=0.005)
    assert len(placed(splits, 1)) / 1_000 == pytest.approx(0.05, abs=0.005)


@pytest.mark.parametrize("share", [-0.1, 0, 0.95, 1, 2, float("nan")])
def test_a_share_that_leaves_nothing_is_refused(share):
    with pytest.raises(DatasetError, match="test-share .* is not between 0 and 0.95"):
        split(spans(*[5] * 100), gap=1, test=share)


@pytest.mark.parametrize(
    ("sizes", "says"),
    [
        ([40], "1 conversation is too few"),
        ([40, 40], "2 conversations are too few"),
        ([40] * 4, "4 conversations are too few"),
        ([1] * 20, "20 conversations are too few to split by time, with 10 messages between"),
    ],
    ids=["one", "two", "four, of which two would be gaps", "many that the gaps would swallow"],
)
def test_too_few_sessions_are_refused_in_one_line(sizes, says):
    with pytest.raises(DatasetError, match=says) as caught:
        split(spans(*sizes), gap=10)

    assert "\n" not in str(caught.value)


def test_five_sessions_are_enough():
    assert list(split(spans(*[40] * 5), gap=10)) == [0, GAP, 1, GAP, 2]


@given(
    sizes=st.lists(st.integers(1, 30), max_size=60),
    gap=st.integers(1, 40),
    share=st.floats(0.01, 0.9),
    data=st.data(),
)
def test_every_split_has_sessions_in_order_with_the_gap_between_them(sizes, gap, share, data):
    starts = data.draw(
        st.lists(st.integers(0, 500), min_size=len(sizes), max_size=len(sizes)), "starts"
    )
    try:
        splits = split(spans(*sizes, starts=starts), gap, share)
    except DatasetError:
        return

    order = sorted(range(len(sizes)), key=lambda number: starts[number])
    places = [splits[number] for number in order]
    kept = [place for place in places if place != GAP]
    assert kept == sorted(kept)
    assert set(kept) == {0, 1, 2}
    for place in (0, 1):
        end = len(places) - places[::-1].index(place)
        between = order[end : places.index(place + 1)]
        assert sum(sizes[number] for number in between) >= gap


TALK = st.lists(
    st.tuples(
        st.integers(1, 14), st.sampled_from([None, 10, 20]), st.sampled_from([30, 90, 600, 7_100])
    ),
    min_size=1,
    max_size=40,
)


def said(talk):
    """Return messages topic by topic, in sessions of (messages, topic, seconds between them).

    Each session begins two hours after the one before it began, so that long ones run beside later
    ones of other topics.
    """
    messages, ends = [], {}
    for session, (size, topic, pause) in enumerate(talk):
        start = NOON + timedelta(hours=2 * session)
        at = max(start, ends.get(topic, start) + timedelta(hours=3))
        for place in range(size):
            at += timedelta(seconds=pause)
            author = 1 + place % 2
            messages.append(Message(-5, len(messages) + 1, author, None, "hi", at, topic))
        ends[topic] = at
    return sorted(messages, key=lambda message: message.topic_id or 0)


def cut(messages, window):
    """Split messages; return the ids in each split, and all pairs."""
    sessions, found = list(make_sessions(messages, SessionRules(ROSTER, window))), SessionSpans()
    for session in sessions:
        start, end = session.lines[0].sent_at, session.lines[-1].sent_at
        found.add(int(start.timestamp()), int(end.timestamp()), len(session.lines))
    splits = [None if place == GAP else SPLITS[place] for place in split(found, window.lookback)]
    cut = [replace(one, split=name) for one, name in zip(sessions, splits, strict=True)]
    own = [
        {line.message_id for session in cut if session.split == name for line in session.lines}
        for name in SPLITS
    ]
    return own, list(make_pairs(cut, -5, window))


@given(
    talk=TALK,
    window=st.builds(
        Window, size=st.integers(1, 12), short=st.integers(0, 4), fill=st.integers(0, 6)
    ),
)
def test_no_split_sees_a_message_of_another_or_of_the_gap(talk, window):
    messages = said(talk)

    try:
        own, pairs = cut(messages, window)
    except DatasetError:
        return

    assert all(own)
    assert sum(map(len, own)) == len(set.union(*own))
    assert len(messages) - sum(map(len, own)) >= 2 * window.lookback
    ids = dict(zip(SPLITS, own, strict=True))
    for pair in pairs:
        seen = {*pair.context_ids, *pair.message_ids}
        assert pair.split == next((name for name in SPLITS if seen <= ids[name]), None)


def test_pairs_of_the_gap_and_those_that_look_into_it_are_dropped_and_counted():
    messages = said([(12, None, 90)] * 40)

    _, pairs = cut(messages, Window())

    # In each gap is a session of 12 pairs, and the first two after it look back into it.
    assert sum(pair.split is None for pair in pairs) == 2 * (12 + 2)


def test_a_long_talk_of_one_topic_does_not_see_what_others_say_beside_it():
    busy = [(12, None, 90)] * 40
    messages = said([(14, 10, 7_100), *busy])  # a slow one that lasts while fourteen others begin

    own, _ = cut(messages, Window())

    assert set(range(1, 15)) <= own[0]


def test_a_session_that_lasts_until_the_next_split_begins_is_left_out():
    made = spans(*[5] * 20)
    made.ends[3] = made.starts[17]  # a training session, and the first of validation
    made.ends[5] = made.starts[17] - 1
    made.ends[18] = made.starts[19]  # in the gap

    splits = split(made, gap=1)

    train = [number for number in range(16) if number != 3]
    assert [placed(splits, place) for place in range(3)] == [train, [17], [19]]


def test_a_split_of_which_every_session_lasts_into_the_next_is_refused():
    with pytest.raises(DatasetError, match="every conversation of the train split continues"):
        split(spans(*[5] * 20, last=30 * HOUR), gap=1)


def test_a_topic_that_never_pauses_is_in_no_two_splits_at_one_time(tmp_path):
    talk = [topic_created(1, "busy"), topic_created(2, "calm")]
    for number in range(1_200):  # 50 days, an hour between messages
        talk.append(entry(len(talk) + 1, 1 + number % 2, f"busy {number}", number * 3_600 + 60,
                          reply_to_message_id=1))  # fmt: skip
    for one in conversation(100, 4, gap_hours=12):
        at = int(one["date_unixtime"]) - int(NOON.timestamp()) + 70
        talk.append(entry(len(talk) + 1, int(one["from_id"][4:]), f"calm {at}", at,
                          reply_to_message_id=2))  # fmt: skip
    export = write(tmp_path, chat(*talk))

    summary = build([export], tmp_path / "ds", small())

    loaded = load_dataset(tmp_path / "ds")
    sent = {entry["id"]: int(entry["date_unixtime"]) for entry in talk}
    times = [
        [sent[number] for pair in pairs for number in pair.message_ids + pair.context_ids]
        for pairs in (loaded.train, loaded.validation, loaded.test)
    ]
    trained = [sent[line.message_id] for session in loaded.sessions("train")
               for line in session.lines]  # fmt: skip
    assert max(times[0] + trained) < min(times[1])
    assert max(times[1]) < min(times[2])
    assert summary.leaks.pairs_out_of_order == 0
    assert summary.gap < 0.06 * summary.lines


def test_about_half_of_the_sessions_are_the_judges():
    chosen = [is_judge_session(-100, session) for session in range(2_000)]

    assert 0.45 < sum(chosen) / len(chosen) < 0.55
    assert chosen == [is_judge_session(-100, session) for session in range(2_000)]
    assert chosen != [is_judge_session(-101, session) for session in range(2_000)]


def test_no_pair_of_one_half_has_a_line_of_the_other(tmp_path):
    build([write(tmp_path, chat(*conversation(40)))], tmp_path / "ds", small())
    train = load_dataset(tmp_path / "ds").train

    judges, model = (select_half(train, for_judge=one) for one in (True, False))

    lines = [{i for pair in half for i in pair.message_ids + pair.context_ids}
             for half in (judges, model)]  # fmt: skip
    assert lines[0]
    assert lines[1]
    assert not lines[0] & lines[1]
    assert 0.6 < (len(judges) + len(model)) / len(train) < 1
