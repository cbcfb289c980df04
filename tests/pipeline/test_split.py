from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.conversation import Message, Window
from model.errors import DatasetError
from model.roster import Person, Roster
from pipeline.pairs import sessions_of
from pipeline.split import split
from tests.pipeline.chats import NOON

ROSTER = Roster((Person("Hugo", (1,)), Person("Ana", (2,))))


def sessions(*sizes, apart=timedelta(hours=5)):
    """Return sessions of so many messages each, two friends taking turns."""
    messages, at = [], NOON
    for size in sizes:
        for number in range(size):
            messages.append(Message(-5, len(messages) + 1, 1 + number % 2, None, "hi", at))
            at += timedelta(seconds=90)
        at += apart
    return sessions_of(messages, ROSTER, Window())


def test_it_is_by_messages_80_5_and_15_percent_in_order_of_time():
    parts = split(sessions(*[5] * 100))

    assert [len(part.sessions) for part in parts] == [80, 5, 15]
    assert [part.name for part in parts] == ["train", "validation", "test"]
    ends = [part.sessions[-1].lines[-1].sent_at for part in parts]
    assert ends == sorted(ends)
    assert parts.train.sessions[-1].start < parts.validation.sessions[0].start


def test_sessions_are_never_cut():
    parts = split(sessions(3, 70, 2, 9, 30, 4))

    assert [[len(s.lines) for s in part.sessions] for part in parts] == [[3, 70, 2, 9], [30], [4]]


def test_pairs_that_reach_into_an_earlier_split_are_dropped_and_counted():
    all_sessions = sessions(*[5] * 100)

    parts = split(all_sessions)

    assert parts.dropped == 2 * 2  # two borders; the first two messages after each look across it
    kept = sum(len(part.pairs) for part in parts)
    assert kept + parts.dropped == sum(len(s.pairs) for s in all_sessions)


@given(sizes=st.lists(st.integers(1, 12), min_size=3, max_size=40))
def test_no_split_sees_a_message_of_another(sizes):
    all_sessions = sessions(*sizes)

    parts = split(all_sessions)

    held = [{line.message_id for s in part.sessions for line in s.lines} for part in parts]
    assert all(held)
    assert sum(map(len, held)) == len(set.union(*held)) == sum(sizes)
    for part, ids in zip(parts, held, strict=True):
        for pair in part.pairs:
            assert ids.issuperset(pair.context_ids)
            assert ids.issuperset(pair.message_ids)


def test_fewer_than_three_sessions_are_too_few():
    with pytest.raises(DatasetError, match="needs 3 conversations and there are 2"):
        split(sessions(5, 5))
