"""Which of a chat's messages are taken, and which of them may be targets."""

from collections import Counter
from datetime import timedelta

import pytest

from model.chat.conversation import Window
from model.errors import ExportError
from pipeline.dataset.build import build
from pipeline.dataset.pairs import MIN_REPEATS, limit_repeats
from pipeline.dataset.storage import load_dataset
from tests.pipeline.chats import NOON, chat, conversation, entry, small, write


@pytest.fixture
def export(tmp_path):
    return write(tmp_path, chat(*conversation()))


def pairs(folder):
    loaded = load_dataset(folder)
    return [*loaded.train, *loaded.validation, *loaded.test]


def test_only_the_last_messages_are_taken_if_so_asked(export, tmp_path):
    summary = build([export], tmp_path / "ds", small(last=60))

    assert summary.messages == 60
    assert load_dataset(tmp_path / "ds").train[0].message_ids[0] > 180


@pytest.mark.parametrize(
    ("since", "first"),
    [(timedelta(hours=30), 122), (timedelta(hours=30, seconds=1), 123), (timedelta(0), 2)],
)
def test_only_messages_since_a_time_are_taken_if_so_asked(export, tmp_path, since, first):
    summary = build([export], tmp_path / "ds", small(since=NOON + since))

    assert summary.messages == 240 - (first - 2)
    assert load_dataset(tmp_path / "ds").train[0].context_ids[0] == first


def test_of_last_and_since_the_later_beginning_counts(export, tmp_path):
    late = NOON + timedelta(hours=45)

    both = [small(last=n, since=late) for n in (60, 120)]

    taken = [build([export], tmp_path / "ds", choices).messages for choices in both]
    assert taken == [60, 60]


def test_nobody_since_a_day_is_told_as_such(export, tmp_path):
    with pytest.raises(ExportError, match="there are no messages in Friends since 2030-01-01"):
        build([export], tmp_path / "ds", small(since=NOON.replace(year=2030, month=1)))


def said(pairs, text):
    """Return the numbers of the sessions in which a pair's target is this text."""
    return [pair.session for pair in pairs if pair.target == (text,)]


def repeating(times, text, step=1):
    """Return sessions in which a friend always answers with the same text."""
    talk = []
    for n in range(times):
        number, at = 10**6 + n * step * 4, n * 7_300
        talk += [entry(number, 2, f"well {n}", at), entry(number + 2, 1, text, at + 90)]
    return talk


@pytest.mark.parametrize("step", [1, 3, 16, 64])
@pytest.mark.parametrize("times", [256, 1_000])
def test_a_spammers_text_is_learned_about_ten_times(tmp_path, times, step):
    export = write(tmp_path, chat(*repeating(times, "a a a a a a a a", step)))

    summary = build([export], tmp_path / "ds", small(window=Window(size=3)))

    kept = times - summary.repeated
    loaded = load_dataset(tmp_path / "ds")
    sessions = said(loaded.train, "a a a a a a a a")
    assert MIN_REPEATS // 2 <= kept <= 2 * MIN_REPEATS
    assert kept - 5 <= len(sessions) <= kept  # the others may stand in other splits or in a gap
    assert min(sessions) < times / 3
    assert max(sessions) > times / 2
    seen = Counter(line for pair in pairs(tmp_path / "ds") for line in pair.context)
    assert seen["Friend 1: a a a a a a a a"] > times / 2


def test_held_out_splits_keep_every_repetition(tmp_path):
    export = write(tmp_path, chat(*repeating(300, "a a a a a a a a")))

    summary = build([export], tmp_path / "ds", small(window=Window(size=3)))

    loaded = load_dataset(tmp_path / "ds")
    for name in ("validation", "test"):
        part = next(one for one in summary.splits if one.name == name)
        found = said(getattr(loaded, name), "a a a a a a a a")
        assert len(found) >= part.sessions - 3  # contexts that reach into the gap


def test_a_signature_of_one_word_stays_one(tmp_path):
    talk = [entry(10**6 + n, 1, "lol" if n % 12 == 0 else f"so {n}", n * 70) for n in range(1_200)]
    export = write(tmp_path, chat(*talk, *conversation()))

    assert build([export], tmp_path / "ds", small()).repeated == 0


def test_only_the_surplus_message_of_a_turn_is_left_out(tmp_path):
    talk = repeating(300, "a a a a a a a a")
    both = [entry(e["id"] + 1, 1, f"and {n}", n * 7_300 + 100) for n, e in enumerate(talk[1::2])]
    export = write(tmp_path, chat(*talk, *both))

    build([export], tmp_path / "ds", small(window=Window(size=3)))

    loaded = load_dataset(tmp_path / "ds")
    lengths = Counter(len(pair.target) for pair in loaded.train if pair.voice == "Friend 1")
    assert lengths[1] > 20 * lengths[2] > 0
    assert all(len(pair.target) == 2 for pair in loaded.test if pair.voice == "Friend 1")


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("lol", 500), ("haha yes", 125), ("how are you doing", 31), ("a a a a a a a a", 10),
        ("hahahahahahahaha", 125), ("哈哈", 500), ("哈" * 32, 31),
    ],
)  # fmt: skip
def test_the_limit_falls_with_the_length(text, limit):
    assert limit_repeats(text, 5_000) == limit
    assert limit_repeats(text, 50) == MIN_REPEATS


def test_what_was_said_too_often_before_the_last_messages_does_not_count(tmp_path):
    often = [entry(10**6 + n, 1, "ahah", n * 200 - 10**6) for n in range(100)]
    export = write(tmp_path, chat(*often, *conversation(), entry(5_000, 1, "ahah", 700)))

    summary = build([export], tmp_path / "ds", small(last=241))

    assert summary.repeated == 0
    assert said(pairs(tmp_path / "ds"), "ahah") == [0]


def test_a_message_said_ten_times_or_by_different_friends_is_not_too_often(tmp_path):
    ten = [entry(5_000 + n, 1, "ten times", n * 21_700 + 600) for n in range(10)]
    both = [
        entry(6_000 + 2 * n + who, who, "of both", n * 21_700 + 700 + who * 90)
        for n in range(9)
        for who in (1, 2)
    ]
    export = write(tmp_path, chat(*conversation(), *ten, *both))

    summary = build([export], tmp_path / "ds", small())

    assert summary.repeated == 0


def test_what_occurs_in_training_is_seen_where_it_is_judged(tmp_path):
    last = 19 * 3 * 3_600
    again = [
        entry(5_000, 1, "really now", 700),
        entry(5_001, 2, "Same Here", 800),
        entry(5_002, 1, "really now", last + 700),
        entry(5_003, 2, "same here", last + 800),
        entry(5_004, 1, "never before", last + 900),
    ]
    export = write(tmp_path, chat(*conversation(), *again))

    summary = build([export], tmp_path / "ds", small())

    loaded = load_dataset(tmp_path / "ds")
    assert [pair.target for pair in loaded.test if pair.seen] == [("really now",), ("same here",)]
    assert not any(pair.seen for pair in loaded.train)
    assert [part.seen for part in summary.splits] == [0, 0, 2]


@pytest.mark.parametrize("last", [0, -5])
def test_the_last_none_of_a_chat_is_refused(last):
    with pytest.raises(ValueError, match="last: "):
        small(last=last)
