"""However an export is damaged, nothing is invented and undamaged messages are kept.

What can be promised depends on the layout. Where every message stands on lines of its own, one
damaged byte costs the message in which it stands, and none where it stands in a chat's own lines:
it may then cost that chat's name, type or id. On one line it costs the message in which it stands,
too; in a chat's own keys it may cost the chat: `"messagez"` is good JSON.
"""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.chat.quotes import strip_quotes
from model.errors import ExportError
from tests.pipeline.chats import LAYOUTS, write
from tests.pipeline.export.damaged_exports import chats_of, exports, indented, on_one_line, spans
from tests.pipeline.export.reading import read_all

EXAMPLES = [40, pytest.param(3000, marks=pytest.mark.soak)]
BYTES = st.one_of(
    st.sampled_from([bytes([byte]) for byte in b'\n \t\r{}[]",:\\x0\x00']),
    st.binary(min_size=1, max_size=1),
)

pytestmark = pytest.mark.parametrize("examples", EXAMPLES, ids=lambda count: f"{count} examples")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("export")


def prove(examples, *strategies):
    """Run a check with so many examples, right where it stands."""

    def run(check):
        settings(max_examples=examples, deadline=None)(given(*strategies)(check))()

    return run


def seen(folder, written):
    """Return the messages by id and the chats' ids; none where there is no export.

    Topics hang together by replies, so a lost message may take others out of theirs: they are left
    out here, as is the chat of each message.
    """
    try:
        readings = read_all(write(folder, written))
    except ExportError:
        return {}, {}
    messages = [m for reading in readings.values() for m in reading.messages]
    chats = {m.message_id: m.chat_id for m in messages}
    plain = {m.message_id: replace(m, chat_id=0, topic_id=None, reply_to=None) for m in messages}
    assert len(plain) == len(messages)
    return plain, chats


def without(messages, numbers):
    return {number: message for number, message in messages.items() if number not in numbers}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_message_is_read_in_every_layout(folder, examples, layout):
    @prove(examples // 5, exports())
    def check(export):
        messages, chats = seen(folder, LAYOUTS[layout](export))

        assert (messages, chats) == seen(folder, LAYOUTS["one space a level"](export))
        said = [m for c in chats_of(export) for m in c["messages"] if m["type"] == "message"]
        assert messages.keys() <= {m["id"] for m in said}
        texts = {m["id"]: m["text"] for m in said if isinstance(m["text"], str)}
        assert messages.keys() >= {number for number, text in texts.items() if strip_quotes(text)}


def test_a_cut_keeps_all_that_stands_before_it(folder, examples):
    @prove(examples, exports(), st.one_of(indented, on_one_line), st.data())
    def check(export, layout, data):
        whole = layout(export)
        cut = data.draw(st.integers(0, len(whole)))
        complete, _ = seen(folder, whole)
        before = {
            s.number for s in spans(export, whole) if len(whole[: s.end].rstrip(b",\r\n")) <= cut
        }

        messages, _ = seen(folder, whole[:cut])

        assert messages == {n: m for n, m in complete.items() if n in before}


def test_a_damaged_byte_costs_at_most_the_message_it_hits(folder, examples):
    @prove(examples, exports(), indented, st.data())
    def check(export, layout, data):
        whole = layout(export)
        place, byte = data.draw(st.integers(0, len(whole) - 1)), data.draw(BYTES)
        complete, chats = seen(folder, whole)
        hit = {s.number for s in spans(export, whole) if s.is_hit(place, place)}

        messages, where = seen(folder, whole[:place] + byte + whole[place + 1 :])

        assert len(hit) <= 1
        assert len(messages.keys() - complete.keys()) <= len(hit)
        known = without(messages, messages.keys() - complete.keys())
        assert without(known, hit) == without(complete, hit)
        moved = {chats[n] for n in known if where[n] != chats[n]}
        assert len(moved) <= (0 if hit else 1)


def test_on_one_line_a_damaged_byte_costs_at_most_the_message_it_hits(folder, examples):
    @prove(examples, exports(), on_one_line, st.data())
    def check(export, layout, data):
        whole = layout(export)
        place, byte = data.draw(st.integers(0, len(whole) - 1)), data.draw(BYTES)
        complete, _ = seen(folder, whole)
        hit = {s.number for s in spans(export, whole) if s.is_hit(place, place)}

        messages, _ = seen(folder, whole[:place] + byte + whole[place + 1 :])

        assert len(messages.keys() - complete.keys()) <= len(hit)
        known = without(messages, messages.keys() - complete.keys())
        if hit:
            assert without(known, hit) == without(complete, hit)


def test_a_run_of_zeros_costs_at_most_the_messages_it_hits(folder, examples):
    @prove(examples, exports(), indented, st.data())
    def check(export, layout, data):
        whole = layout(export)
        first = data.draw(st.integers(0, len(whole) - 1))
        last = min(first + data.draw(st.integers(0, 400)), len(whole) - 1)
        complete, _ = seen(folder, whole)
        # Without the line's end before it a message may not be seen to begin where a chat does.
        hit = {s.number for s in spans(export, whole) if s.is_hit(first, last + 1)}
        zeroed = whole[:first] + b"\x00" * (last - first + 1) + whole[last + 1 :]

        messages, _ = seen(folder, zeroed)

        assert messages.keys() <= complete.keys() | hit
        assert without(messages, hit) == without(complete, hit)


def test_a_key_that_is_gone_costs_at_most_its_message(folder, examples):
    @prove(examples, exports(), st.one_of(indented, on_one_line), st.data())
    def check(export, layout, data):
        complete, _ = seen(folder, layout(export))
        talk = [item for one in chats_of(export) for item in one["messages"]]
        if not talk:
            return
        item = data.draw(st.sampled_from(talk))
        number = item["id"]
        del item[data.draw(st.sampled_from(sorted(item)))]

        messages, _ = seen(folder, layout(export))

        assert messages.keys() <= complete.keys() | {number}
        assert without(messages, {number}) == without(complete, {number})
