from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.chat.conversation import Message, Window, context_before, split_sessions, split_turns

START = datetime(2024, 3, 1, 12, tzinfo=UTC)
WINDOW = Window()


@dataclass(frozen=True)
class Said:
    author_id: int
    sent_at: datetime


def said(*minutes, author=1):
    return [Said(author, START + timedelta(minutes=m)) for m in minutes]


def seen(earlier, minute, window=WINDOW):
    """Return the indices in `earlier` of the context of a reply at this minute."""
    context = context_before(earlier, START + timedelta(minutes=minute), window)
    return [earlier.index(line) for line in context]


def test_the_first_message_of_a_chat_has_an_empty_context():
    assert seen([], 0) == []


def test_the_context_does_not_wrap_from_the_start_of_a_chat_to_its_end():
    chat = said(*range(30))

    assert [seen(chat[:n], n) for n in range(4)] == [[], [0], [0, 1], [0, 1, 2]]


def test_the_context_is_the_last_ten_messages_of_the_current_session():
    assert seen(said(*range(30)), 30) == list(range(20, 30))


def test_a_pause_of_exactly_120_minutes_starts_a_new_session():
    chat = said(*range(8))

    assert seen(chat, 7 + 120) == [3, 4, 5, 6, 7]  # an empty session, filled with five
    assert seen(chat, 7 + 119) == list(range(8))


def test_only_a_session_with_one_message_is_filled_with_five_earlier_ones():
    chat = said(*range(8), 500, 501)

    assert seen(chat[:9], 501) == [3, 4, 5, 6, 7, 8]
    assert seen(chat[:10], 502) == [8, 9]


def test_the_fill_ends_at_the_start_of_the_chat():
    assert seen(said(0, 1, 500), 501) == [0, 1, 2]


def test_the_fill_looks_past_the_ends_of_short_sessions():
    assert seen(said(0, 200, 400, 600, 800, 1000, 1200), 1400) == [2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("clocks", "held"),
    [((0, 1), 3), ((1, 0), 0)],  # 00:30 and 02:30 are one hour apart in March, three in October
    ids=["into summer time", "out of summer time"],
)
def test_a_gap_is_measured_in_real_time_across_a_change_to_summer_time(clocks, held):
    zones = [timezone(timedelta(hours=offset)) for offset in clocks]
    before = datetime(2024, 3, 31, 0, 30, tzinfo=zones[0])
    after = datetime(2024, 3, 31, 2, 30, tzinfo=zones[1])
    chat = [Said(1, before - timedelta(minutes=n)) for n in (2, 1, 0)]

    context = context_before(chat, after, Window(fill=0))

    assert len(context) == held


def test_messages_of_one_second_keep_their_order():
    chat = [Said(author, START) for author in range(12)]

    assert [line.author_id for line in context_before(chat, START, WINDOW)] == list(range(2, 12))
    assert [[line.author_id for line in turn] for turn in split_turns(chat)] == [
        [n] for n in range(12)
    ]


def test_a_message_that_is_older_than_the_one_before_it_does_not_end_a_session():
    assert seen(said(0, 10, 9), 11) == [0, 1, 2]


WINDOWS = st.builds(
    Window, size=st.integers(1, 12), short=st.integers(0, 8), fill=st.integers(0, 8)
)
GAPS = st.lists(st.sampled_from([0, 1, 119, 120, 121, 500]), max_size=30)


@given(gaps=GAPS, pause=st.sampled_from([0, 119, 120, 600]), window=WINDOWS)
def test_only_the_last_messages_within_the_lookback_matter(gaps, pause, window):
    chat, minute = [], 0
    for number, gap in enumerate(gaps):
        minute += gap
        chat.append(Said(number, START + timedelta(minutes=minute)))
    at = START + timedelta(minutes=minute + pause)

    whole = list(context_before(chat, at, window))

    assert whole == list(context_before(chat[-window.lookback :], at, window))
    assert whole == chat[len(chat) - len(whole) :]
    assert len(whole) <= window.lookback


@given(gaps=GAPS)
def test_sessions_start_where_contexts_do(gaps):
    chat, minute = [], 0
    for number, gap in enumerate(gaps):
        minute += gap
        chat.append(Said(number, START + timedelta(minutes=minute)))

    found = list(split_sessions(chat, WINDOW.gap))

    assert [line for session in found for line in session] == chat
    assert len(found) == (1 + sum(gap >= 120 for gap in gaps[1:]) if gaps else 0)
    for session in found:
        last = session[-1]
        held = context_before(
            chat[: chat.index(last)], last.sent_at, Window(size=99, fill=0, short=0)
        )
        assert list(held) == session[:-1]


@pytest.mark.parametrize(("seconds", "sizes"), [(60, [2]), (61, [1, 1]), (0, [2])])
def test_a_pause_of_60_seconds_does_not_end_a_turn_and_a_longer_one_does(seconds, sizes):
    burst = [Said(1, START), Said(1, START + timedelta(seconds=seconds))]

    assert [len(turn) for turn in split_turns(burst)] == sizes


def test_a_turn_may_last_longer_than_a_minute_and_ends_with_its_author():
    burst = [Said(1, START + timedelta(seconds=50 * n)) for n in range(5)]
    answer = Said(2, burst[-1].sent_at)

    assert [len(turn) for turn in split_turns([*burst, answer])] == [5, 1]


def test_a_message_without_a_time_zone_is_refused():
    with pytest.raises(ValueError, match=r"message 3: .* has no time zone"):
        Message(-1, 3, 1, None, "hi", datetime(2024, 3, 1))  # noqa: DTZ001


@pytest.mark.parametrize("options", [{"size": 0}, {"gap": timedelta(0)}], ids=str)
def test_an_empty_window_is_refused(options):
    with pytest.raises(ValueError, match="must be a (whole )?number"):
        Window(**options)
