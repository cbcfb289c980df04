r"""Bytes that are no JSON and were seen all the same; they matter, so they stand here literally."""

import pytest

from pipeline.export.reader import repair
from tests.pipeline.chats import INDENTED, LAYOUTS, account, chat, entry, write
from tests.pipeline.export.reading import read, read_all

NO_JSON = "an escape or a value that is not JSON"
NO_UTF_8 = "bytes that are not UTF-8"
HALF = "half a surrogate pair"
UNQUOTED = "(File not included. Change data exporting settings to download.)"


def damaged(tmp_path, old, new, *entries, layout="one space a level"):
    """Read three messages, the one in the midst with bytes in place of others."""
    talk = entries or [entry(1, 1, "a"), entry(2, 2, "XYZ", 1), entry(3, 1, "c", 2)]
    whole = INDENTED[layout](chat(*talk))
    assert old in whole
    path = write(tmp_path, whole.replace(old, new))
    return read(path), whole.index(old)


@pytest.mark.parametrize("layout", INDENTED)
@pytest.mark.parametrize(
    ("written", "text", "fault"),
    [
        (rb"a\x0Bb", "a\x0bb", NO_JSON),
        (rb"a\x0b\x1Fb \n", "a\x0b\x1fb \n", NO_JSON),
        (rb"C:\dir", "C:\\dir", NO_JSON),
        (rb"\u12 \uZZZZ", "\\u12 \\uZZZZ", NO_JSON),
        (rb"\\x0B", "\\x0B", None),
        (b"a\x0cb\x01", "a\x0cb\x01", NO_JSON),
        (b"a\tb", "a\tb", NO_JSON),
        (b"a\x7fb", "a\x7fb", None),
        (b"a\xffb", "a\ufffdb", NO_UTF_8),
        (b"\xe2\x82", "\ufffd", NO_UTF_8),
        (b"\xed\xa0\xbd", "\ufffd\ufffd\ufffd", NO_UTF_8),
        (rb"\ud83d", "\ufffd", HALF),
        (rb"\udc00 x", "\ufffd x", HALF),
        (rb"\ud83dx", "\ufffdx", HALF),
        (rb"\ud83d\ude02 \ud83d", "😂 \ufffd", HALF),
        (rb"\ud83d\ude02", "😂", None),
    ],
    ids=["a control character by \\x", "several", "a backslash", "half an escape",
         "a backslash that is escaped", "control characters as they are", "a tab as it is",
         "a character that only looks bad", "a byte that is no UTF-8", "half a character",
         "a surrogate in UTF-8", "the first half of a pair", "the second half of a pair",
         "half a pair before a letter", "a pair and a half", "a pair"],
)  # fmt: skip
def test_a_text_that_is_no_json_is_mended(tmp_path, layout, written, text, fault):
    reading, place = damaged(tmp_path, b"XYZ", written, layout=layout)

    assert reading.texts == ["a", text, "c"]
    assert reading.tally.repaired == ({fault: 1} if fault else {})
    assert not reading.tally.skipped
    if fault:
        [trouble] = reading.chat.places
        assert place - 300 < trouble.offset < place
        assert (trouble.description, trouble.after) == (fault, 1)


@pytest.mark.parametrize("layout", INDENTED)
@pytest.mark.parametrize(
    "written",
    [UNQUOTED, "stickers/AnimatedSticker.tgs", "5368324170671202286", "-5368324170671202286",
     "(File exceeds maximum size. Change data exporting settings to download.)"],
)  # fmt: skip
def test_an_unquoted_document_id_is_mended(tmp_path, layout, written):
    emoji = {"type": "custom_emoji", "text": "😀", "document_id": "DOCUMENT"}
    reaction = {"type": "custom_emoji", "count": 1, "document_id": "DOCUMENT"}
    talk = [
        entry(1, 1, "a"),
        entry(2, 1, ["so ", emoji], 1, text_entities=[emoji], reactions=[reaction]),
        entry(3, 1, "c", 2),
    ]

    reading, _ = damaged(tmp_path, b'"DOCUMENT"', written.encode(), *talk, layout=layout)

    assert reading.texts == ["a", "so 😀", "c"]
    assert not reading.tally.skipped


@pytest.mark.parametrize("key", ["from", "title"])
def test_a_name_that_is_no_json_is_mended(tmp_path, key):
    talk = [entry(1, 1, "a", **{key: "XYZ"})]

    reading, _ = damaged(tmp_path, b"XYZ", rb"A\x0B \ud83d", *talk)

    assert reading.messages[0].author_name == ("A\x0b \ufffd" if key == "from" else "Friend 1")


@pytest.mark.parametrize(
    ("written", "name"),
    [(rb"\ud83d", "\ufffd"), (rb"a\x0Bb", "a\x0bb"), (b"\xff", "\ufffd")],
    ids=["half a pair", "a control character", "no UTF-8"],
)
def test_a_chat_s_name_that_is_no_json_is_mended(tmp_path, written, name):
    reading, place = damaged(tmp_path, b"Friends", written)

    assert reading.chat.name == name
    assert reading.texts == ["a", "XYZ", "c"]
    assert [trouble.offset for trouble in reading.chat.places] == [place - len(' "name": "')]


def test_a_message_nested_beyond_all_sense_costs_itself(tmp_path):
    reading, _ = damaged(tmp_path, b'"XYZ"', b"[" * 100_000 + b"]" * 100_000)

    assert reading.texts == ["a", "c"]
    assert reading.tally.skipped == {"no message can be read here": 1}


def test_zeros_that_join_two_messages_make_none_of_them(tmp_path):
    whole = INDENTED["one space a level"](chat(*(entry(n, n, f"word {n}", n) for n in range(1, 5))))
    first, last = whole.index(b"rd 2"), whole.index(b"rd 3")

    reading = read(write(tmp_path, whole[:first] + b"\x00" * (last - first) + whole[last:]))

    assert reading.texts == ["word 1", "word 4"]
    assert reading.tally.skipped == {"no message can be read here": 1}


@pytest.mark.parametrize("piece", [b"", b"{", b"}", b"[1]", b"null", b"7", b'"a"', b'{"a": }'])
def test_what_is_no_object_is_not_made_one(piece):
    found = repair(piece)

    assert found is None or not found[0]


REWRITTEN = sorted(LAYOUTS.keys() - INDENTED.keys())


@pytest.mark.parametrize("layout", REWRITTEN)
@pytest.mark.parametrize(
    ("written", "text"),
    [
        (rb'"\x0B"', "\x0b"),
        (rb'"\udc00"', "\ufffd"),
        (b'"a\x01b"', "a\x01b"),
        (b'"a\xffb"', "a\ufffdb"),
        (b"XYZ", None),
        (b'"XYZ', None),
        (b'XYZ"', None),
        (b'"XYZ"}', None),
        (b'"XYZ"]', None),
        (b'{"XYZ"', None),
        (b'["XYZ"', None),
    ],
    ids=["an escape", "half a pair", "a control character", "no UTF-8", "no quotes",
         "no closing quote", "no opening quote", "a brace too many", "a bracket too many",
         "a brace without an end", "a bracket without an end"],
)  # fmt: skip
def test_reading_continues_after_damage_in_any_layout(tmp_path, layout, written, text):
    talk = [entry(n, 1 + n % 2, "XYZ" if n == 50 else f"words {n}", n) for n in range(1, 200)]
    whole = LAYOUTS[layout](chat(*talk))

    reading = read(write(tmp_path, whole.replace(b'"XYZ"', written)))

    told = {m.message_id: m.text for m in reading.messages}
    expected = {n: f"words {n}" for n in range(1, 200) if n != 50}
    assert {n: said for n, said in told.items() if n != 50} == expected
    assert text is None or told[50] == text
    assert sum(reading.tally.skipped.values()) + sum(reading.tally.repaired.values()) >= 1


def test_a_large_export_on_one_line_loses_only_damaged_messages(tmp_path):
    talk = [entry(n, 1 + n % 2, f"words {n}", n) for n in range(1, 8_001)]
    whole = LAYOUTS["one line"](account(chat(*talk[:4_000]), chat(*talk[4_000:], id=5, name="B")))
    for n in range(500, 8_001, 500):
        whole = whole.replace(b'"words %d"' % n, b'"words %d' % n)

    readings = read_all(write(tmp_path, whole))

    ids = sorted(number for one in readings.values() for number in one.ids)
    assert ids == [n for n in range(1, 8_001) if n % 500]
    assert sum(one.tally.skipped["no message can be read here"] for one in readings.values()) == 16
