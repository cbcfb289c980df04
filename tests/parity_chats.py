"""Chats for the proof of parity: made by hypothesis, written as updates and as an export."""

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from model.chat.conversation import Window
from model.chat.eligibility import add_voice_header
from model.chat.person import Person
from model.chat.roster import Roster

NUMBER = 1234
ROSTER = Roster(
    (
        Person("Hugo Silva", (11,), imitate="yes"),
        Person("Hugo Sá", (12,)),
        Person("João", (13, 17), aliases=("Johnny",), imitate="yes"),
        Person("李雷", (14, -1000000000077)),
        Person("Eva", (15,), learn="no"),
        Person("Rui", (16,), imitate="no"),
    ),
    bots=frozenset({21}),
    understudies=frozenset({42}),
)
BOT = 42
NAMES = {
    11: ("Hugo", "Silva 🚀"),
    12: ("hugo", None),
    13: ("João", None),
    14: ("李雷", None),
    15: ("Eva: ", "[x]"),
    16: ("Rui", None),
    17: ("João's other account", None),
    BOT: ("Understudy", None),
    21: ("Dice bot", None),
    31: ("Zoe", "Martin"),
    32: ("João", "Nobody"),
    33: ("", None),
    34: ("+351912345678", None),
}
GROUP, CHANNEL = -1, -77  # who speaks as the group itself, or as a channel
TOPICS = (1, 2)
COMMANDS = (
    *("/as João what about Friday?", "/as hugo silva: hi", "/as@understudy_bot Hugo Sá\nand\nyou"),
    *("/as", "/as Hugo hm", "/as nobody hi", "/as Eva hello", "/as Rui hello", "/as Johnny, so?"),
    *("/simulate 6", "/help", "/start@other_bot", "/etc/hosts is a file", "/ no command"),
)
PRIVATE = (
    *("call me on +351 912 345 678", "it is maria.silva@example.com", "my password is hunter2!x"),
    *("DE89 3704 0044 0532 0130 00 is the iban", "https://user:secret@example.com/a?token=abc123"),
    *("see https://t.me/+AbCdEf1234567890", "[photo] of 38.7223, -9.1393", "code: 483920"),
    *("06.12.34.56.78 or 4538 4019", "504 940 326, 3 17 22 31 45 49"),
)
WALL = "a pasted wall of words, 38.7223, -9.1393 " * 60
HERS = "she told 𝕏 of zanzibar"
"""What Eva, who is excluded, said. No prompt may contain it if others quote or copy it."""
PHRASES = (
    *(*PRIVATE, WALL),
    *("> zanzibar", f"so\n>> {HERS}\nyes", "Eva: zanzibar\nzanzibar", "mine\n\n- eva : zanzibar"),
    *("Eva, [12.03.2024 10:15]\nzanzibar\nHugo: mine", "[1/2/24, 10:15] Eva: zanzibar", ">_<"),
    *("[12/03/2025, 10:11:12] Eva: zanzibar\n\nzanzibar", "12.3.25, 10:11 - Eva: zanzibar"),
    *("<Eva> zanzibar", "**Eva**: zanzibar", 'mine\nEva said: "zanzibar"', "zé\nEva: zanzibar"),
    *("> Eva:\nzanzibar\n\nzanzibar", "Eva — Today at 10:11\nzanzibar", '"zanzibar" - Eva'),
    *("ok", "Hugo: no", "[photo]", "[…]", "😂", "a\nb", "🎭 João\nfaked", "▁under_score▁"),
)
GAPS = (0, 0, 1, 59, 60, 61, 3600, 7199, 7200, 7201, 90_000)
MEDIA = {
    "photo": ({"photo": [{"file_id": "a", "file_unique_id": "b", "width": 1, "height": 1}]},
              {"photo": "photos/1.jpg"}),
    "voice": ({"voice": {"file_id": "a", "file_unique_id": "b", "duration": 67}},
              {"file": "voice.ogg", "media_type": "voice_message", "duration_seconds": 67}),
    "still": ({"voice": {"file_id": "a", "file_unique_id": "b", "duration": 0}},
              {"file": "voice.ogg", "media_type": "voice_message"}),
    "file": ({"document": {"file_id": "a", "file_unique_id": "b"}},
             {"file": "a.pdf", "mime_type": "application/pdf"}),
    "poll": ({"poll": {"id": "1", "question": "Where? call +351 912 345 678", "options": [],
                       "total_voter_count": 0, "is_closed": False, "is_anonymous": True,
                       "type": "regular", "allows_multiple_answers": False, "allows_revoting": True,
                       "members_only": False}},
             {"poll": {"question": "Where? call +351 912 345 678", "answers": []}}),
    "dice": ({"dice": {"emoji": "🎲", "value": 3}}, {}),
}  # fmt: skip


def units(text):
    return len(text.encode("utf-16-le")) // 2


@dataclass(frozen=True)
class Said:
    """One message of a chat, of which both its update and its export are made."""

    author: int
    text: str
    gap: int = 1
    topic: int | None = None
    medium: str | None = None
    replies: bool = False
    forward: bool = False
    via_bot: bool = False
    edited: str | None = None
    again: bool = False
    quotes: bool = False


rarely = st.sampled_from([False] * 7 + [True])
gaps = st.sampled_from(GAPS) | st.sampled_from([1, 5, 30, 90]) | st.integers(0, 8000)
topics = st.sampled_from([None, None, *TOPICS])
said = st.one_of(
    st.sampled_from(PHRASES),
    st.sampled_from(PHRASES + COMMANDS),
    st.text(st.characters(exclude_categories=("Cs", "Cc"), include_characters="\n"), min_size=1),
).map(lambda text: text.strip() or "ok")
by_people = st.builds(
    Said,
    author=st.sampled_from([*(who for who in NAMES if who != BOT), GROUP, CHANNEL]),
    text=said,
    gap=gaps,
    topic=topics,
    medium=st.sampled_from([None] * 7 + [*MEDIA]),
    replies=st.booleans(),
    forward=rarely,
    via_bot=rarely,
    edited=st.none() | st.none() | said,
    again=rarely,
    quotes=rarely,
)
by_the_bot = st.builds(
    Said,
    author=st.just(BOT),
    text=st.one_of(
        st.builds(add_voice_header, st.sampled_from(["João", "Hugo Sá", "Eva", "Nobody"]), said),
        st.just("I answer in their voices.\n/as Hugo"),
    ),
    gap=gaps,
    topic=topics,
)
chats = st.sampled_from([0, 3, 12, 25, 40]).flatmap(
    lambda size: st.lists(by_people | by_people | by_the_bot, min_size=size, max_size=size)
)
ends = st.builds(
    Said,
    author=st.sampled_from([11, 13, 15, 31, GROUP]),
    text=st.sampled_from(["/as João", "/as 李雷 what about\nFriday?", "/as hugo sa, [photo]"]),
    gap=gaps,
    topic=topics,
)
windows = st.builds(
    Window,
    size=st.integers(1, 12),
    gap=st.sampled_from([timedelta(minutes=120), timedelta(seconds=61)]),
    short=st.integers(0, 3),
    fill=st.integers(0, 6),
)


class Chat:
    """Writes a chat both ways: ids rise from 1, the topics' roots come first."""

    def __init__(self, said, kind):
        topics = TOPICS if kind == "private_supergroup" else ()
        self.kind = kind
        self.id = -(10**12 + NUMBER) if topics else -NUMBER
        self.said = [one if topics else replace(one, topic=None) for one in said]
        self.shape = {"id": self.id, "type": "supergroup" if topics else "group", "title": "Us"}
        start = datetime(2024, 3, 30, 20, tzinfo=UTC).timestamp()  # the night of summer time
        self.roots = [
            {"message_id": root, "date": int(start), "chat": self.shape, "from": self._user(11),
             "forum_topic_created": {"name": f"t{root}", "icon_color": 1}}
            for root in topics
        ]  # fmt: skip
        self.bodies, self.items = [], [
            {"id": root, "type": "service", "date_unixtime": str(int(start)), "actor_id": "user11",
             "action": "topic_created", "title": f"t{root}"}
            for root in topics
        ]  # fmt: skip
        for number, one in enumerate(self.said, start=len(topics) + 1):
            start += one.gap
            self._add(number, int(start), one)

    def _user(self, author):
        first, last = NAMES[author]
        shape = {"id": author, "is_bot": author in {BOT, 21}, "first_name": first}
        return shape | ({"last_name": last} if last else {})

    def _author(self, author):
        """Return an author's fields in an update and in an export."""
        if author in NAMES:
            name = " ".join(filter(None, NAMES[author])) or None
            return {"from": self._user(author)}, {"from": name, "from_id": f"user{author}"}
        stand_in = {"id": 1087968824, "is_bot": True, "first_name": "Group"}
        shape, kind, number = self.shape, "chat", NUMBER
        if author == CHANNEL:
            shape = {"id": -(10**12 + 77), "type": "channel", "title": "Us"}
            kind, number = "channel", 77
        elif self.kind == "private_supergroup":
            kind = "channel"
        return (
            {"from": stand_in, "sender_chat": shape},
            {"from": "Us", "from_id": f"{kind}{number}"},
        )

    def _add(self, number, moment, one):
        update_author, export_author = self._author(one.author)
        live, kept = MEDIA.get(one.medium, ({}, {}))
        has_words = one.medium not in {"dice", "poll"}
        body = {"message_id": number, "date": moment, "chat": self.shape} | update_author | live
        last = one.text if one.edited is None else one.edited
        item = (
            {"id": number, "type": "message", "date_unixtime": str(moment)} | export_author | kept
        )
        item["text"] = [last[:1], {"type": "bold", "text": last[1:]}] if has_words else ""
        if has_words:
            key = "caption" if live else "text"
            body[key] = self._words(one, one.text)
        if has_words and one.quotes:
            item["text"] = [{"type": "blockquote", "text": HERS}, "\n", *item["text"]]
            block = {"type": "blockquote", "offset": 0, "length": units(HERS)}
            body["entities" if key == "text" else "caption_entities"] = [block]
        if one.forward:
            body["forward_origin"] = {"type": "hidden_user", "date": 1, "sender_user_name": "A"}
            item["forwarded_from"] = "A"
        if one.via_bot:
            body["via_bot"] = {"id": 22, "is_bot": True, "first_name": "gif"}
            item["via_bot"] = "@gif"
        self._place(body, item, one)
        self.bodies.append(body)
        self.items.append(item)

    def _words(self, one, words):
        return f"{HERS}\n{words}" if one.quotes else words

    def _place(self, body, item, one):
        """Let a message stand in its topic, and answer what was said there last."""
        before = [b for b, s in zip(self.bodies, self.said, strict=False) if s.topic == one.topic]
        replied = before[-1] if before and one.replies else None
        if one.topic:
            body |= {"message_thread_id": one.topic, "is_topic_message": True}
            replied = replied or self.roots[one.topic - 1]
        if replied:
            bare = {key: part for key, part in replied.items() if key != "reply_to_message"}
            body["reply_to_message"] = bare
            if one.quotes:
                body["quote"] = {"text": HERS, "position": 0, "is_manual": True}
            item["reply_to_message_id"] = replied["message_id"]
            if self.kind == "private_supergroup":  # a reply is a thread, which is no topic
                body.setdefault("message_thread_id", replied["message_id"])

    def updates(self):
        """Return the updates in the order in which they come: edits and repetitions last."""
        pairs = list(zip(self.bodies, self.said, strict=True))
        yield from ({"message": body} for body in self.roots + self.bodies)
        for body, one in pairs:
            if one.edited is not None and one.medium not in {"dice", "poll"}:
                key = "text" if "text" in body else "caption"
                edit = {key: self._words(one, one.edited), "edit_date": body["date"] + 1}
                yield {"edited_message": body | edit}
            if one.again:
                yield {"message": body}

    def export(self, folder):
        """Write the export and return its path."""
        path = folder / "result.json"
        chat = {"name": "Us", "type": self.kind, "id": NUMBER, "messages": self.items}
        indent = 1 if len(self.items) % 2 else None  # as Telegram Desktop, or on one line
        path.write_text(json.dumps(chat, indent=indent), "utf-8")
        return path
