from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
import time_machine

from pipeline.export.entries import (
    CONTRADICTION,
    DAMAGED_TIME,
    FUTURE,
    LOCAL,
    TimeParser,
    list_offset_changes,
)
from tests.pipeline.chats import NOON, chat, entry, write
from tests.pipeline.export.reading import read

LISBON = ZoneInfo("Europe/Lisbon")
NOW = datetime(2026, 12, 2, 12, tzinfo=UTC)


def at(*parts):
    return int(datetime(*parts, tzinfo=UTC).timestamp())


def old(number, date, **more):
    """Return a message as exports had it before date_unixtime."""
    message = entry(number, 1, f"words {number}", date=date, **more)
    del message["date_unixtime"]
    return message


def test_date_unixtime_wins_over_another_zone_s_date_without_a_word(tmp_path):
    ahead = entry(1, 1, "hi", date="2024-03-01T17:30:00")

    reading = read(write(tmp_path, chat(ahead)))

    assert reading.messages[0].sent_at == NOON
    assert not reading.tally.repaired


def test_date_unixtime_wins_over_a_date_of_another_day_and_that_is_counted(tmp_path):
    wrong = entry(1, 1, "hi", date="2019-01-01T17:30:00")

    reading = read(write(tmp_path, chat(wrong)))

    assert reading.messages[0].sent_at == NOON
    assert reading.tally.repaired == {CONTRADICTION: 1}


def test_a_gap_across_a_change_to_summer_time_is_the_real_one(tmp_path):
    before = entry(1, 1, "hi", 0, date="2024-03-31T00:30:00")
    after = entry(2, 1, "hi", 3600, date="2024-03-31T02:30:00")

    messages = read(write(tmp_path, chat(before, after))).messages

    assert messages[1].sent_at - messages[0].sent_at == timedelta(hours=1)


def test_a_date_alone_is_local_to_the_zone_given_and_that_is_counted(tmp_path):
    path = write(tmp_path, chat(old(1, "2016-07-01T10:00:00"), old(2, "2016-12-01T10:00:00")))

    reading = read(path, zone=LISBON)

    assert [m.sent_at for m in reading.messages] == [
        datetime(2016, 7, 1, 9, tzinfo=UTC),
        datetime(2016, 12, 1, 10, tzinfo=UTC),
    ]
    assert reading.tally.repaired == {LOCAL: 2}


def test_around_the_skipped_hour_local_times_are_an_hour_closer_than_they_look(tmp_path):
    path = write(tmp_path, chat(old(1, "2016-03-27T00:30:00"), old(2, "2016-03-27T02:30:00")))

    first, second = read(path, zone=LISBON).messages

    assert second.sent_at - first.sent_at == timedelta(hours=1)


def test_a_time_in_the_skipped_hour_is_read_by_the_offset_before_it():
    assert TimeParser(NOW, LISBON).parse_sent(None, "2016-03-27T01:30:00") == (
        at(2016, 3, 27, 1, 30),
        LOCAL,
    )


def test_in_the_doubled_hour_a_time_that_goes_back_is_of_its_second_half(tmp_path):
    dates = [f"2016-10-30T01:{minute}:00" for minute in (10, 50, 20, 20, 55)]
    path = write(tmp_path, chat(*(old(n, date) for n, date in enumerate(dates, 1))))

    times = [m.sent_at for m in read(path, zone=LISBON).messages]

    expected = [(0, 10), (0, 50), (1, 20), (1, 20), (1, 55)]
    assert times == [datetime(2016, 10, 30, *time, tzinfo=UTC) for time in expected]


def test_a_date_with_an_offset_needs_no_zone():
    assert TimeParser(NOW).parse_sent(None, "2016-07-01T10:00:00+05:30")[0] == at(2016, 7, 1, 4, 30)


@pytest.mark.parametrize("unix", ["0", "", "x", "-5", None, 1.5, True, [], "9" * 30, "١٢"])
def test_a_date_unixtime_that_is_no_time_gives_way_to_the_date(unix):
    problem = LOCAL if unix is None else DAMAGED_TIME

    found = TimeParser(NOW, UTC).parse_sent(unix, "2016-07-01T10:00:00")

    assert found == (at(2016, 7, 1, 10), problem)


def test_a_date_unixtime_may_be_a_number():
    assert TimeParser(NOW).parse_sent(1_700_000_000, None) == (1_700_000_000, None)


@pytest.mark.parametrize(
    "date", [None, "", "yesterday", 5, [], "1970-01-01T00:00:00", "0001-01-01T00:00:00"]
)
def test_a_message_without_any_time_is_skipped_and_counted(tmp_path, date):
    path = write(tmp_path, chat(old(1, date), entry(2, 1, "x")))

    reading = read(path, zone=ZoneInfo("Asia/Tokyo"))

    assert reading.ids == [2]
    assert sum(reading.tally.skipped.values()) == 1
    assert reading.tally.skipped_messages == reading.tally.skipped


@pytest.mark.parametrize(
    ("unix", "date", "edited"),
    [
        (None, "1970-01-01T01:00:00", 0),
        (None, "2016-07-01T10:00:00", at(2016, 7, 1, 10)),
        ("1467367200", "1970-01-01T01:00:00", 1_467_367_200),
        (None, "nonsense", 0),
        (None, None, 0),
    ],
    ids=["1970 is never", "a date alone", "the unix time wins", "no time", "nothing"],
)
def test_when_a_message_was_edited(unix, date, edited):
    assert TimeParser(NOW, UTC).parse_edited(unix, date) == edited


@pytest.mark.parametrize("seconds", [0, 86_400], ids=["now", "a day later"])
def test_a_time_until_tomorrow_is_one(seconds):
    unix = int(NOW.timestamp()) + seconds

    assert TimeParser(NOW).parse_sent(str(unix), None) == (unix, None)


@pytest.mark.parametrize(
    ("unix", "date"),
    [("9195552000", "2261-05-26T00:00:00"), ("1796299201", None), (None, "2026-12-04T00:00:00")],
)
def test_a_message_dated_after_tomorrow_is_skipped_and_counted(tmp_path, unix, date):
    later = {**entry(1, 1, "x"), "date_unixtime": unix, "date": date}
    export = write(tmp_path, chat(later, entry(2, 1, "y", edited_unixtime=unix)))

    with time_machine.travel(NOW, tick=False):
        reading = read(export)

    assert reading.ids == [2]
    assert reading.tally.skipped == reading.tally.skipped_messages == {FUTURE: 1}
    assert TimeParser(NOW, UTC).parse_edited(unix, date) == 0


def test_a_date_unixtime_after_tomorrow_gives_way_to_a_date_that_is_not():
    found = TimeParser(NOW, UTC).parse_sent("9195552000", "2016-07-01T10:00:00")

    assert found == (at(2016, 7, 1, 10), DAMAGED_TIME)


def test_messages_are_in_order_of_time_and_then_of_id(tmp_path):
    entries = [
        entry(9, 1, "c", 60),
        entry(4, 1, "b", 5),
        entry(3, 1, "a", 5),
        entry(-999_999_999, 1, "0", 1),
    ]

    assert read(write(tmp_path, chat(*entries))).texts == ["0", "a", "b", "c"]


def test_the_exports_own_time_is_known_on_each_day_with_both_times(tmp_path):
    def local(number, days, hours, **more):
        date = NOON + timedelta(days=days, hours=hours)
        text = date.replace(tzinfo=None).isoformat()
        return entry(number, 1, f"words {number}", 86_400 * days, date=text, **more)

    told = [
        local(1, 0, 0),
        local(2, 1, 0),
        local(3, 31, 1),  # summer time
        local(4, 32, 1),
        local(5, 33, 5.01),  # no zone differs by that
        old(6, "2024-06-01T12:00:00"),
    ]

    offsets = read(write(tmp_path, chat(*told))).tally.utc_offsets

    assert offsets == {"2024-03-01": 0, "2024-03-02": 0, "2024-04-01": 60, "2024-04-02": 60}
    assert list_offset_changes(offsets) == (("2024-03-01", 0), ("2024-04-01", 60))
