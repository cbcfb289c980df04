"""Render the prompt: one rendering for training and serving, with its fingerprint."""

import hashlib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import takewhile

from model.chat.conversation import Message, Window, context_before
from model.chat.eligibility import WITHHELD, Line, add_voice_header, make_lines
from model.chat.names import clean_name
from model.chat.person import Person
from model.chat.roster import Roster

TEMPLATE = "Continue writing the following text.\n\n"
LINE_BREAK = "\r"
"""Replaces a line break inside a message, because a newline ends the message."""


def build_context(
    earlier: Iterable[Message], at: datetime, roster: Roster, window: Window
) -> tuple[str, ...]:
    """Return the rendered lines in the context of a reply at the time `at`, oldest first.

    `earlier` are all messages of one chat and topic before the reply, in order, or at least enough
    that `window.lookback` of them are eligible.
    """
    return render_context(context_before(make_lines(earlier, roster), at, window))


def render_context(lines: Iterable[Line]) -> tuple[str, ...]:
    """Render one line per message; consecutive withheld ones become one."""
    return merge_withheld_lines(map(render_line, lines))


def render_line(line: Line) -> str:
    """Render a line as it appears in a prompt."""
    return WITHHELD if line.speaker is None else f"{line.speaker}: {replace_breaks(line.text)}"


def format_line(name: str, text: str) -> str:
    """Render words that `name` says as a line of a prompt."""
    return f"{name}: {replace_breaks(text.strip())}"


def split_line(line: str) -> tuple[str | None, str]:
    """Return the name and the words of a rendered line; the name is None if it is withheld."""
    name, colon, words = line.partition(": ")
    return (name if colon else None), words


def parse_conversations(text: str) -> list[list[str]]:
    """Read lines that a person wrote as `Name: words`; an empty line ends a conversation.

    Raises:
        ValueError: A line has no name.
    """
    conversations: list[list[str]] = [[]]
    for line in map(str.strip, text.splitlines()):
        name, colon, words = line.partition(": ")
        if not line:
            conversations.append([])
        elif not colon:
            raise ValueError(f"a line needs a name and a colon: {line!r}")
        else:
            conversations[-1].append(format_line(clean_name(name), words))
    return list(filter(None, conversations))


def merge_withheld_lines(rendered: Iterable[str]) -> tuple[str, ...]:
    """Replace consecutive withheld lines with one."""
    rendered = tuple(rendered)
    if WITHHELD not in rendered:
        return rendered
    lines: list[str] = []
    for line in rendered:
        if not (line == WITHHELD and lines and lines[-1] == WITHHELD):
            lines.append(line)
    return tuple(lines)


def render_prompt(context: Iterable[str]) -> str:
    """Return the text that a model reads before a reply."""
    return TEMPLATE + "".join(f"{line}\n" for line in context)


def speaker_label(name: str) -> str:
    """Return the start of a reply, which forces its voice."""
    return f"{name}:"


def render_reply(name: str, texts: Sequence[str]) -> str:
    """Return the text after `speaker_label`: every further message is its own labelled line.

    With the label before it, a turn has the same form in a reply and in a context.
    """
    label = f"\n{speaker_label(name)} "
    return " " + label.join(map(replace_breaks, texts))


def cut_reply(name: str, text: str) -> str:
    """Return the lines of a generated reply that belong to the speaker.

    The turn ends at the first line without the speaker's own label.
    """
    label = speaker_label(name)
    first, *rest = text.split("\n")
    own = takewhile(lambda line: line == label or line.startswith(f"{label} "), rest)
    return "\n".join([first, *own])


def parse_reply(name: str, text: str) -> tuple[str, ...]:
    """Return the messages of a reply, the inverse of `render_reply`; empty ones are left out."""
    first, *rest = cut_reply(name, text).split("\n")
    lines = [first, *(line.removeprefix(speaker_label(name)) for line in rest)]
    messages = (line.replace(LINE_BREAK, "\n").strip() for line in lines)
    return tuple(message for message in messages if message)


@cache
def fingerprint() -> str:
    """Return 12 hex digits that change with any rule between a chat and its prompt.

    They are the hash of the prompts at every place of a chat that contains a case for each rule.
    """
    people = (
        Person("João", (1, 10), imitate="yes"),
        Person("Hugo", (2,)),
        Person("Raul", (3,), learn="no"),
    )
    roster = Roster(people, bots=frozenset({7}), understudies=frozenset({9}))
    window = Window(size=4, gap=timedelta(minutes=120), short=2, fill=2)
    chat = _build_example_chat()
    prompts = (
        render_prompt(build_context(chat[:index], message.sent_at, roster, window))
        for index, message in enumerate(chat)
    )
    text = "".join(prompts) + speaker_label("João") + render_reply("João", ["a\nb", "Hugo: c"])
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _build_example_chat() -> list[Message]:
    """Return a chat with commands, bots, forwards, strangers and withheld people."""
    entries = [
        (1, "old", 0),
        (2, "new session", 120),
        (1, "still open", 239),
        (2, "two\r\nlines ", 240),
        (3, "private", 241),
        (3, "and more", 242),
        (2, "/as joao and you?", 243),
        (9, add_voice_header("João", "me: too"), 244),
        (8, "[photo] a stranger's", 245),
        (2, "/help", 246),
        (1, "/AS@a_bot hugo: ok?", 246),
        (1, "/Help@a_bot me", 246),
        (2, "/etc/hosts is a file", 246),
        (7, "a bot's", 247),
        (6, "by way of a bot", 248),
        (5, "a forward", 249),
        (8, "last", 250),
        (4, "a long name", 251),
        (1, "late", 500),
        (2, "the end", 501),
        (2, "", 502),
        (1, "call +351 912 345 678, 06.12.34.56.78 or write to a.b@example.com", 503),
        (2, "[photo] of https://zoom.us/j/81234567890?pwd=abc", 504),
        (1, "hasło: tajne, kod 4821, AKIA" + "ABCDEFGHIJKLMNOP", 504),
        (1, "word " * 400, 505),
        (10, "my other account", 505),
        (2, "> a quote\nRaul: a copy\n\nmy own", 505),
        (2, "see\n[12/03/2025, 10:11:12] Raul Sá wrote: a copy\n\na long one", 505),
        (1, "bye", 506),
    ]
    start = datetime(2020, 1, 1, tzinfo=UTC)
    names = {8: "Hugo: Sá", 4: f"[{'Lu🎭ís' * 12}]:"}
    return [
        Message(
            chat_id=-1,
            message_id=number,
            author_id=author,
            author_name=names.get(author),
            text=text,
            sent_at=start + timedelta(minutes=minute),
            is_forward=author == 5,  # noqa: PLR2004  ids of this chat
            is_from_bot=author == 6,  # noqa: PLR2004
        )
        for number, (author, text, minute) in enumerate(entries)
    ]


def replace_breaks(text: str) -> str:
    """Return a message on one line."""
    return text.replace("\n", LINE_BREAK)
