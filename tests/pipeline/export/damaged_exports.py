"""Exports that could be, and what can happen to their bytes, for proofs by many examples."""

from bisect import bisect_right
from dataclasses import dataclass

from hypothesis import strategies as st

from tests.pipeline.chats import INDENTED, LAYOUTS, account, chat, entry, service, topic_created

TEXTS = st.one_of(
    st.text(max_size=12),
    st.text(alphabet='ab "\\{}[],:\n\t\r\x7f\u2028é😂\U0001f9d1\u200d', max_size=30),
    st.sampled_from(
        [
            '"}, {"id": 5',
            '\n  },\n  {\n   "id": 5,',
            "\\x0B",
            "\\",
            '\\"',
            "null",
            "]}]}",
            '"text": "',
        ]
    ),
)
KINDS = ("private_supergroup", "public_supergroup", "personal_chat", "bot_chat", "saved_messages")
MEDIA = (
    {"photo": "(File not included.)", "width": 5},
    {"file": "a.webp", "media_type": "sticker", "sticker_emoji": "😺"},
    {"file": "a.ogg", "media_type": "voice_message", "duration_seconds": 7},
    {"poll": {"question": "?", "answers": [{"text": "yes", "voters": 1}]}},
    {"location_information": None},
    {"forwarded_from": None},
    {"via_bot": "@gif"},
    {"edited_unixtime": "1709294460", "reactions": [{"type": "emoji", "count": 1, "emoji": "👍"}]},
)


def number_of(index):
    """Return an id from which no other differs in one digit alone."""
    return int(f"1{index:03d}{index:03d}")


@st.composite
def items(draw, index, numbers):
    """Draw one entry of a chat."""
    number = number_of(index)
    kind = draw(st.integers(0, 9))
    reply = draw(st.sampled_from([{}, *({"reply_to_message_id": n} for n in numbers)]))
    if kind == 0:
        return {"id": number, "type": "unsupported"}
    if kind == 1:
        return service(number, "pin_message", index, **reply)
    if kind == 2:
        return topic_created(number, draw(TEXTS))
    text = draw(TEXTS)
    more = draw(st.sampled_from(MEDIA)) if kind == 3 else {}
    entities = [{"type": "plain", "text": text}] if text else []
    if kind == 4:
        entities = [*entities, {"type": "link", "text": draw(TEXTS)}, {"type": "bold", "text": "b"}]
    words = entities if kind == 4 else text
    return entry(
        number, index % 3, words, draw(st.integers(0, 9)), text_entities=entities, **reply, **more
    )


@st.composite
def exports(draw):
    """Draw one chat or an account; no id stands in two chats."""
    sizes = draw(st.lists(st.integers(0, 5), min_size=1, max_size=3))
    several, index = [], 1
    for place, size in enumerate(sizes, 1):
        numbers = [number_of(n) for n in range(index, index + size)]
        talk = [draw(items(n, numbers)) for n in range(index, index + size)]
        kind, name = draw(st.sampled_from(KINDS)), draw(st.one_of(st.none(), TEXTS))
        several.append(chat(*talk, id=11 * place, type=kind, name=name))
        index += size
    if len(several) == 1 and draw(st.booleans()):
        return several[0]
    left = draw(st.integers(0, len(several) - 1))
    about = {"personal_information": {"user_id": 1, "bio": draw(TEXTS)}} if index % 2 else {}
    return account(*several[left:], left=several[:left], **about)


indented = st.sampled_from([INDENTED[name] for name in INDENTED])
on_one_line = st.sampled_from([LAYOUTS[name] for name in ("one line", "one line with spaces")])


def chats_of(export):
    """Return an export's chats in the order of the file."""
    if "messages" in export:
        return [export]
    return [*export["chats"]["list"], *export.get("left_chats", {}).get("list", [])]


@dataclass(frozen=True)
class Span:
    """The bytes of one entry, with the end of its line."""

    number: int
    start: int
    end: int

    def is_hit(self, first, last):
        return self.start <= last and first < self.end


def spans(export, whole):
    """Return where each entry stands in an undamaged file."""
    found, at = [], 0
    for one in chats_of(export):
        for item in one["messages"]:
            key = whole.index(str(item["id"]).encode(), whole.index(b'"id":', at))
            while not whole[:key].rstrip().endswith(b'"id":'):
                key = whole.index(str(item["id"]).encode(), key + 1)
            start = whole.rindex(b"{", 0, key)
            end = _end(whole, start)
            line = max(whole.rfind(b"\n", 0, start) + 1, at)
            found.append(Span(item["id"], line if b"\n" in whole else start, end))
            at = end
    return found


def _end(whole, start):
    """Return where the object that begins here ends, with the comma and the line's end after it."""
    depth, at, in_text = 0, start, False
    while True:
        byte = whole[at : at + 1]
        if in_text:
            at += byte == b"\\"
            in_text = byte != b'"'
        elif byte == b'"':
            in_text = True
        else:
            depth += (byte in b"{[") - (byte in b"}]")
        at += 1
        if not depth and not in_text:
            break
    rest = whole[at : at + 3]
    return at + len(rest) - len(rest.lstrip(b",\r")) + (rest.lstrip(b",\r")[:1] == b"\n")


def line_at(whole, place):
    """Return the number of the line in which a byte stands."""
    starts = [n for n, byte in enumerate(whole) if byte == 10]
    return bisect_right(starts, place)
