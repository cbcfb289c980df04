import json
import os

import pytest

from model.errors import ExportError
from pipeline.export.archive import open_exports
from pipeline.export.reader import CHUNK
from pipeline.export.reader import read_events as events_of
from tests.call_count import count_calls
from tests.pipeline.chats import LAYOUTS, account, chat, conversation, entry, write
from tests.pipeline.export.reading import read


def test_a_message_is_read_from_a_file_or_from_its_folder(tmp_path):
    path = write(tmp_path, chat(entry(5, 3, "hi")))

    assert read(path).messages == read(tmp_path).messages
    assert read(path).texts == ["hi"]


def test_for_the_folder_above_an_export_the_newest_export_in_it_is_named(tmp_path):
    for name, written in (("ChatExport_2026-05-01", 1), ("ChatExport_2026-04-01 (1)", 2)):
        os.utime(write(tmp_path / name, chat(entry(5, 3, "hi"))), (written, written))

    with pytest.raises(ExportError) as caught:
        read(tmp_path)

    newest = tmp_path / "ChatExport_2026-04-01 (1)" / "result.json"
    assert str(caught.value) == f"there is no result.json in {tmp_path}: did you mean {newest}?"


def test_a_file_may_have_any_name(tmp_path):
    path = write(tmp_path, chat(entry(5, 3, "hi"))).rename(tmp_path / "ours.json")

    assert read(path).texts == ["hi"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "is not JSON"),
        (" \n", "is not JSON"),
        ("\ufeff", "is not JSON"),
        ("Date,Text\n1,hi\n", "is not JSON"),
        ('{"name": "x", "messages": [', "is not JSON"),
        ('{"a": "\\x0B"}', "is not JSON"),
        ('{"a": "\\udc00"}', "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ('{"a":' * 100_000, "is not JSON"),
        (b"\x00" * 5000, "is not JSON"),
        (b"PK\x03\x04\xff\xfe\x00", r"is a zip file \(unpack it first\)"),
        (b"\x1f\x8b\x08\x00", r"is packed with gzip \(unpack it first\)"),
        (b'{"a": 1}\n{"a": 2}\n', "is JSON Lines"),
        ('{"a": 1}'.encode("utf-32"), "is in UTF-32"),
        ("[]", "not a chat export"),
        ("{}", "not a chat export"),
        ("[1, 2]", "not a chat export"),
        ("null", "not a chat export"),
        ('"words"', "not a chat export"),
        ('{"messages": {"a": 1}}', "not a chat export"),
        ('{"messages": [1, "x", null]}', "not a chat export"),
        ('{"conversations": []}', "not a chat export"),
        ('{"about": "", "chats": {"list": []}}', "not a chat export"),
        ('{"chats.list.item.name": 1, "chats.list.item.messages.item": {}}', "not a chat export"),
    ],
    ids=["nothing", "a blank line", "a byte-order mark", "a table", "cut off in the heading",
         "a bad escape", "half a pair", "lists too deep", "objects too deep", "zeros", "a zip file",
         "gzip", "JSON Lines", "UTF-32",
         "an empty list", "an empty object", "a list", "null", "a text", "no list of messages",
         "numbers for messages", "another program's", "an account without chats",
         "keys that look like paths"],
)  # fmt: skip
def test_what_is_no_export_is_refused_in_one_line_with_what_to_do(tmp_path, content, says):
    path = write(tmp_path, content)

    with pytest.raises(ExportError, match=says) as caught:
        read(path)

    assert str(path) in str(caught.value)
    assert "Export chat history, format JSON" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_another_program_s_messages_are_counted_and_passed_over(tmp_path):
    path = write(tmp_path, '{"messages": [1, {"role": "user", "content": "hi"}, "x", null]}')

    reading = read(path)

    assert reading.messages == []
    assert reading.tally.skipped == {"no id": 1}


@pytest.mark.parametrize("order", ["utf-16", "utf-16-le", "utf-16-be"])
def test_a_file_in_utf_16_is_named(tmp_path, order):
    text = json.dumps(chat(entry(1, 1, "hi")), indent=1)
    mark = "" if order == "utf-16" else "\ufeff"

    with pytest.raises(ExportError, match=r"is in UTF-16 \(save it as UTF-8\)"):
        read(write(tmp_path, (mark + text).encode(order)))


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ExportError, match="there is no file .*nothing.json"):
        read(tmp_path / "nothing.json")


def test_a_folder_without_result_json_is_refused_and_an_html_export_named(tmp_path):
    with pytest.raises(ExportError, match=r"there is no result\.json"):
        read(tmp_path)

    (tmp_path / "messages.html").write_text("<html>")

    with pytest.raises(ExportError, match="but an HTML export.*format JSON"):
        read(tmp_path)


def test_one_of_several_that_is_no_export_is_named(tmp_path):
    good = write(tmp_path / "good", chat(entry(1, 1, "x")))
    bad = write(tmp_path / "bad", "{}")

    with pytest.raises(ExportError, match="bad"):
        read(good, bad)


def test_an_export_without_messages_has_an_empty_chat(tmp_path):
    reading = read(write(tmp_path, chat()))

    assert (reading.messages, reading.counts.messages) == ([], 0)
    assert (reading.counts.first, reading.counts.last) == (None, None)


def test_the_database_is_gone_when_the_archive_is_closed(tmp_path):
    path = write(tmp_path, account(chat(entry(1, 1, "x"))))

    with open_exports([path]) as archive:
        pass

    with pytest.raises(Exception, match="closed"):
        archive.spool.counts(77)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_byte_that_is_read_is_told_in_few_steps(tmp_path, layout):
    file = write(tmp_path, LAYOUTS[layout](chat(*conversation(100))))
    chunks = []

    list(events_of(file, lambda _: True, chunks.append))

    assert b"".join(chunks) == file.read_bytes()
    assert len(chunks) <= file.stat().st_size // CHUNK + 2


@pytest.mark.parametrize(
    "part",
    [
        b'{"messages":[',
        b'{"id":1,"type":"message"',
        b'{"type":"message","id":1,"text":"a"},{"type":"x",',
    ],
    ids=["lists in lists", "messages without an end", "another order of keys"],
)
def test_values_without_an_end_cost_time_in_proportion_to_the_file(tmp_path, part):
    heading = b'{"name":"G","type":"private_group","id":123,"messages":['
    sizes = (10_000, 20_000)

    def count(size):
        path = tmp_path / "result.json"
        path.write_bytes(heading + part * (size // len(part)))
        return count_calls(lambda: list(events_of(path, lambda _: True)))

    half, whole = map(count, sizes)

    assert whole < 3 * half
