"""One byte of an indented file is damaged: it costs at most the message it hits."""

import json
import re
from contextlib import suppress
from itertools import cycle

import pytest

from model.errors import ExportError
from pipeline.export.reader import CUT_SHORT
from tests.pipeline.chats import INDENTED, account, chat, entry, write
from tests.pipeline.export.reading import read, read_all

FIRST, SECOND, THIRD = -1_000_000_000_001, -1_000_000_000_002, -1_000_000_000_003


def talk(first, count=5):
    link = {"type": "link", "text": "http://a.b"}
    return [
        entry(n, n % 3, f"words {n}", n, text_entities=[link, {"type": "bold", "text": "b"}])
        for n in range(first, first + count)
    ]


def three():
    return account(
        *(chat(*talk(100 * n), id=n, name=f"Chat {n}") for n in (1, 2)),
        left=[chat(*talk(300), id=3, name="Chat 3")],
    )


def one():
    return chat(*talk(200), id=2, name="Chat 2")


SHAPES = {
    name: INDENTED[name] for name in ("one space a level", "tabs", "ends of lines as on Windows")
}
EXPORTS = {"an account": three, "one chat": one}
STRUCTURE = {
    "a message's opening brace": (r"\n[ \t]+(\{)\r?\n[ \t]+\"id\": {id},", range(200, 205)),
    "a message's closing brace": (
        r"\"id\": {id},(?s:.)*?\r?\n[ \t]+\]\r?\n[ \t]+(\})",
        range(200, 205),
    ),
    "the comma after a message": (
        r"\"id\": {id},(?s:.)*?\r?\n[ \t]+\]\r?\n[ \t]+\}(,)",
        range(200, 204),
    ),
    "the line's end after a message": (
        r"\"id\": {id},(?s:.)*?\r?\n[ \t]+\]\r?\n[ \t]+\},?\r?(\n)",
        range(200, 205),
    ),
    "the line's end before a message": (
        r"\r?(\n)[ \t]+\{\r?\n[ \t]+\"id\": {id},",
        range(200, 205),
    ),
    "the line's end in a message's brace": (
        r"\n[ \t]+\{\r?(\n)[ \t]+\"id\": {id},",
        range(200, 205),
    ),
}
BYTES = [b"x", b"\x00", b" ", b"\n", b'"', b"\\", b"\xff", b"{", b"}", b"[", b"]", b",", b"0"]
OWN_LINES = {
    "the brackets of the list of messages": r'"Chat 2"(?s:.)*?"messages": (\[)',
    "the quotes of the list of messages": r'"Chat 2"(?s:.)*?(")messages": \[',
    "the word of the list of messages": r'"Chat 2"(?s:.)*?"mes(s)ages": \[',
    "the colon of the list of messages": r'"Chat 2"(?s:.)*?"messages"(:) \[',
    "the line's end after the list's bracket": r'"Chat 2"(?s:.)*?"messages": \[\r?(\n)',
    "the list's closing bracket": r'"id": 204,(?s:.)*?\]\r?\n[ \t]*\}\r?\n[ \t]*(\])',
    "the line's end before that bracket": r'"id": 204,(?s:.)*?\]\r?\n[ \t]*\}\r?(\n)[ \t]*\]',
    "the line's end after that bracket": r'"id": 204,(?s:.)*?\]\r?\n[ \t]*\}\r?\n[ \t]*\]\r?(\n)',
    "the chat's closing brace": r'"id": 204,(?s:.)*?\]\r?\n[ \t]*\}\r?\n[ \t]*\]\r?\n[ \t]*(\})',
    "the chat's opening brace": r'(\{)\r?\n[ \t]+"name": "Chat 2"',
    "its name's first quote": r'"name": (")Chat 2"',
    "its name's line's end": r'"name": "Chat 2",\r?(\n)',
    "its name's key": r'"n(a)me": "Chat 2"',
    "its name's indentation": r'([ \t])"name": "Chat 2"',
    "a letter of its name": r'"name": "Ch(a)t 2"',
    "its type's first quote": r'"Chat 2",\r?\n[ \t]+"type": (")private',
    "its type's key": r'"Chat 2",\r?\n[ \t]+"t(y)pe"',
    "a letter of its type": r'"Chat 2",\r?\n[ \t]+"type": "private_superg(r)oup',
    "its id": r'"id": (2),',
    "its id's key": r'"i(d)": 2,',
    "its id's comma": r'"id": 2(,)',
}


def hit(whole, pattern, byte):
    found = re.compile(pattern.encode()).search(whole)
    assert found, pattern
    place = found.start(1)
    return whole[:place] + byte + whole[place + 1 :], place


def all_ids(readings):
    return sorted(number for r in readings.values() for number in r.ids)


def everything(export):
    return sorted(m["id"] for c in _chats(export) for m in c["messages"])


def _chats(export):
    if "messages" in export:
        return [export]
    return [*export["chats"]["list"], *export.get("left_chats", {}).get("list", [])]


@pytest.mark.parametrize("where", STRUCTURE)
@pytest.mark.parametrize("kind", EXPORTS)
@pytest.mark.parametrize("layout", SHAPES)
def test_a_byte_of_a_message_s_frame_costs_at_most_that_message(tmp_path, layout, kind, where):
    export = EXPORTS[kind]()
    whole = SHAPES[layout](export)
    untouched = read_all(write(tmp_path, whole))
    pattern, numbers = STRUCTURE[where]
    for number, byte in zip(cycle((numbers[0], numbers[2], numbers[-1])), BYTES, strict=False):
        broken, place = hit(whole, pattern.replace("{id}", str(number)), byte)

        readings = read_all(write(tmp_path, broken))

        lost = set(everything(export)) - set(all_ids(readings))
        assert lost <= {number}, (number, byte)
        assert readings.keys() == untouched.keys()
        for chat_id, reading in readings.items():
            kept = [m for m in untouched[chat_id].messages if m.message_id not in lost]
            assert reading.messages == kept, (number, byte)
        if lost:
            [*places] = (t.offset for t in readings[SECOND].chat.places)
            assert any(abs(offset - place) < 900 for offset in places), (number, byte)


@pytest.mark.parametrize("where", OWN_LINES)
@pytest.mark.parametrize("kind", EXPORTS)
@pytest.mark.parametrize("layout", SHAPES)
def test_a_byte_of_a_chat_s_own_lines_costs_no_message(tmp_path, layout, kind, where):
    export = EXPORTS[kind]()
    whole = SHAPES[layout](export)
    untouched = read_all(write(tmp_path, whole))
    for byte in BYTES:
        broken, place = hit(whole, OWN_LINES[where], byte)

        readings = read_all(write(tmp_path, broken))

        texts = sorted(m.text for r in readings.values() for m in r.messages)
        assert texts == sorted(m.text for r in untouched.values() for m in r.messages), byte
        for chat_id in untouched.keys() - {SECOND}:
            assert readings[chat_id].messages == untouched[chat_id].messages, byte
        [second] = [r for chat_id, r in readings.items() if 200 in r.ids]
        assert second.ids == [200, 201, 202, 203, 204]
        if byte in {b"x", b"\xff"} and "letter" not in where and where != "its id":
            troubles = [t for r in readings.values() for t in r.chat.places]
            assert any(abs(t.offset - place) < 900 for t in troubles), byte


@pytest.mark.parametrize("layout", SHAPES)
def test_a_chat_whose_number_is_damaged_keeps_its_name(tmp_path, layout):
    whole = SHAPES[layout](three())
    broken, place = hit(whole, r'"id": (2),', b"x")

    readings = read_all(write(tmp_path, broken))

    [lost] = readings.keys() - {FIRST, THIRD}
    assert readings[lost].chat.name == "Chat 2"
    assert read(tmp_path, wanted="chat 2").ids == [200, 201, 202, 203, 204]
    assert [t.offset for t in readings[lost].chat.places] == [whole.rindex(b"\n", 0, place) + 1]


CUTS = {
    "in a message": (rb'"words 203', [200, 201, 202]),
    "behind a message": (rb'"id": 203,', [200, 201, 202]),
    "in a key": (rb'_id": "user1",\r?\n[ \t]+"text": "words 202', [200, 201]),
}


@pytest.mark.parametrize("where", CUTS)
@pytest.mark.parametrize("kind", EXPORTS)
@pytest.mark.parametrize("layout", SHAPES)
def test_what_stands_before_a_cut_is_kept_and_the_cut_told(tmp_path, layout, kind, where):
    whole = SHAPES[layout](EXPORTS[kind]())
    pattern, kept = CUTS[where]
    cut = re.search(pattern.replace(b"user1", b"user[0-9]"), whole).start() + 3

    readings = read_all(write(tmp_path, whole[:cut]))

    assert readings[SECOND].ids == kept
    assert readings.keys() <= {FIRST, SECOND}
    assert readings[SECOND].tally.repaired[CUT_SHORT] == 1
    assert readings[SECOND].tally.skipped == {"no message can be read here": 1}
    assert readings[SECOND].chat.places[-1].offset == cut


@pytest.mark.parametrize("layout", SHAPES)
@pytest.mark.parametrize("kind", EXPORTS)
@pytest.mark.parametrize("after", ["the brace", "the comma", "the line"])
def test_a_cut_between_messages_loses_none(tmp_path, layout, kind, after):
    whole = SHAPES[layout](EXPORTS[kind]())
    found = re.search(rb'"id": 202,(?s:.)*?\](?:\r?\n)[ \t]+\}(,)(\r?\n)', whole)
    cut = {"the brace": found.start(1), "the comma": found.end(1), "the line": found.end(2)}[after]

    readings = read_all(write(tmp_path, whole[:cut]))

    assert readings[SECOND].ids == [200, 201, 202]
    assert readings[SECOND].tally.repaired == {CUT_SHORT: 1}
    assert not readings[SECOND].tally.skipped


@pytest.mark.parametrize("layout", SHAPES)
def test_a_cut_in_the_next_chat_s_heading_loses_nothing_and_is_told(tmp_path, layout):
    whole = SHAPES[layout](three())
    for cut in range(whole.index(b'"name": "Chat 2"') - 12, whole.index(b'"id": 2,')):
        readings = read_all(write(tmp_path, whole[:cut]))

        assert readings[FIRST].ids == [100, 101, 102, 103, 104]
        assert sum(r.tally.repaired[CUT_SHORT] for r in readings.values()) == 1


@pytest.mark.parametrize("layout", SHAPES)
def test_a_cut_in_the_only_heading_leaves_an_empty_chat_or_none(tmp_path, layout):
    whole = SHAPES[layout](one())
    for cut in range(whole.index(b'"words 200"')):
        write(tmp_path, whole[:cut])

        with suppress(ExportError):  # there is no chat yet
            reading = read(tmp_path)
            assert reading.messages == []
            assert len(reading.chat.places) >= 1


@pytest.mark.parametrize("layout", SHAPES)
@pytest.mark.parametrize("kind", EXPORTS)
def test_a_cut_right_at_the_end_loses_nothing(tmp_path, layout, kind):
    whole = SHAPES[layout](EXPORTS[kind]())
    untouched = read_all(write(tmp_path, whole))
    last = max(untouched, key=lambda chat_id: max(untouched[chat_id].ids))
    end = whole.rstrip()
    for cut in range(whole.rindex(b"]"), len(end)):
        readings = read_all(write(tmp_path, whole[:cut]))

        assert {k: r.messages for k, r in readings.items()} == {
            k: r.messages for k, r in untouched.items()
        }
        assert readings[last].tally.repaired == {CUT_SHORT: 1}


@pytest.mark.parametrize("layout", SHAPES)
def test_a_chat_whose_heading_is_zeroed_goes_to_no_other_chat(tmp_path, layout):
    whole = SHAPES[layout](three())
    found = re.search(rb'(\{\r?\n[ \t]+"name": "Chat 2"(?s:.)*?)"messages', whole)
    start, end = found.span(1)

    readings = read_all(write(tmp_path, whole[:start] + b"\x00" * (end - start) + whole[end:]))

    assert readings[FIRST].ids == [100, 101, 102, 103, 104]
    assert readings[THIRD].ids == [300, 301, 302, 303, 304]
    assert all_ids(readings) == everything(three())


def test_a_message_far_too_large_costs_itself_alone(tmp_path):
    huge = entry(2, 1, "x" * (5 << 20), 1)

    reading = read(write(tmp_path, chat(entry(1, 1, "a"), huge, entry(3, 1, "c", 2))))

    assert {1, 3} <= set(reading.ids) <= {1, 2, 3}


@pytest.mark.parametrize("number", ["9" * 5_000, "1e99999999999999999999", "1e400"], ids=len)
def test_a_number_beyond_all_bounds_ends_no_program(tmp_path, number):
    text = json.dumps(chat(entry(1, 1, "a"), entry(2, 1, "b", 1, duration_seconds=0)))

    reading = read(
        write(tmp_path, text.replace('"duration_seconds": 0', f'"duration_seconds": {number}'))
    )

    assert reading.ids[:1] in ([1], [])


@pytest.mark.parametrize("depth", [500, 900])
def test_a_text_nested_too_deep_costs_its_message(tmp_path, depth):
    deep = "x"
    for _ in range(depth):
        deep = [deep]

    reading = read(
        write(tmp_path, chat(entry(1, 1, "a"), entry(2, 1, deep, 1), entry(3, 1, "c", 2)))
    )

    assert {1, 3} <= set(reading.ids)


def test_two_chats_whose_ids_are_lost_stay_two(tmp_path):
    lost = account(*(chat(*talk(100 * n), id=None, name=f"Chat {n}") for n in (1, 2)))

    found = read_all(write(tmp_path, lost))

    assert sorted(len(one.ids) for one in found.values()) == [5, 5]
