"""Count what exports contain, for `understudy inspect`."""

import os
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from functools import lru_cache
from pathlib import Path

from model.chat.conversation import Message, Window
from model.chat.names import make_printable_name
from model.errors import ExportError
from model.files import make_folder
from pipeline.dataset.language import find_chat_languages
from pipeline.dataset.pairs import (
    BuildOptions,
    ChatMessages,
    Session,
    count_placeholders,
    make_pairs,
    make_sessions,
)
from pipeline.dataset.roster_file import MIN_MESSAGES, make_roster, write_roster
from pipeline.export.archive import ExportedChat, open_exports
from pipeline.export.merging import Author, EntryCounts, Spool
from pipeline.terminal import SILENT, Progress

_NO_SCRIPTS = {
    "Caron", "Halfwidth", "Ideographic", "Masu", "Modifier", "Roman", "Turned", "Vedic", "Vertical",
}  # fmt: skip
"""First words of Unicode names of decomposed letters that are not scripts."""


@dataclass(frozen=True, slots=True)
class ChatReport:
    """One chat; `scripts` counts messages by script, `private` counts placeholders by kind.

    `languages` are ISO 639 codes, the most frequent first. The messages of `authors` are those in
    their own words, except for bots. The `quiet` ones wrote fewer than `min_messages`, too few for
    a voice. `sessions` and `pairs` are the numbers that a build finds before the split.
    """

    chat: ExportedChat
    counts: EntryCounts
    authors: tuple[Author, ...]
    scripts: Counter[str]
    languages: tuple[str, ...]
    private: Counter[str]
    sessions: int
    pairs: int
    min_messages: int = MIN_MESSAGES
    quiet: frozenset[int] = frozenset()

    @property
    def messages(self) -> int:
        """Return the number of entries of the type message, including skipped ones."""
        return self.counts.messages + self.chat.tally.skipped_messages.total()


def inspect(
    exports: Sequence[Path],
    wanted: str | None,
    zone: tzinfo | None,
    window: Window,
    *,
    roster_path: Path | None,
    min_messages: int,
    progress: Progress = SILENT,
) -> list[ChatReport]:
    """Report on all chats, those with the most messages first, or on the wanted one.

    With `roster_path`, write a roster of the chat's people there.

    Raises:
        ExportError: The exports cannot be used, or there are several chats to write a roster of.
    """
    if roster_path and roster_path.exists():
        raise ExportError(
            f"{roster_path} already exists and may have been edited: "
            "choose another file, or delete it"
        )
    with open_exports(exports, wanted, zone, progress) as archive:
        chats = list(archive.chats.values())
        if wanted is not None or roster_path:
            chats = [archive.only(wanted)]
        choices = BuildOptions(window=window, min_messages=min_messages)
        what = make_printable_name(chats[0].name) if len(chats) == 1 else f"{len(chats):,} chats"
        reports = []
        with progress.count(f"Inspecting {what}", len(chats)) as advance:
            for chat in chats:
                reports.append(inspect_chat(archive.spool, chat, choices))
                advance(1)
        if roster_path:
            authors = archive.spool.authors(chats[0].chat_id)
            make_folder(Path(os.path.realpath(roster_path)).parent)
            write_roster(make_roster(authors, min_messages=min_messages), roster_path, authors)
    return sorted(reports, key=lambda report: -report.messages)


def inspect_chat(spool: Spool, chat: ExportedChat, choices: BuildOptions) -> ChatReport:
    """Report on one chat."""
    scripts = Counter[str]()

    def count_scripts(message: Message) -> None:
        scripts.update({found for character in set(message.text) if (found := _script(character))})

    authors = spool.authors(chat.chat_id)
    roster = make_roster(authors, min_messages=choices.min_messages)

    messages = ChatMessages(spool, chat, roster, choices)

    def read_messages() -> Iterator[Message]:
        for message in messages:
            count_scripts(message)
            yield message

    private, sessions = Counter[str](), 0

    def read_sessions() -> Iterator[Session]:
        nonlocal sessions
        for session in make_sessions(read_messages(), messages.rules):
            sessions += 1
            private.update(count_placeholders(session.lines))
            yield session

    pairs = sum(1 for _ in make_pairs(read_sessions(), chat.chat_id, choices.window))
    return ChatReport(
        chat=chat,
        counts=spool.counts(chat.chat_id),
        authors=tuple(authors),
        scripts=scripts,
        languages=find_chat_languages(spool, chat.chat_id),
        private=private,
        sessions=sessions,
        pairs=pairs,
        min_messages=choices.min_messages,
        quiet=frozenset(
            number for person in roster.people if person.quiet for number in person.ids
        ),
    )


@lru_cache(65_536)
def _script(character: str) -> str:
    """Return a letter's script by its Unicode name, such as Latin, Cyrillic, Cjk; "" for others."""
    if not character.isalpha():
        return ""
    plain = unicodedata.normalize("NFKD", character)  # º is an o, and a full-width A an A
    letter = next((one for one in plain if one.isalpha()), character)
    word = unicodedata.name(letter, "").split(" ")[0].split("-")[0].capitalize()
    return "" if word in _NO_SCRIPTS else word
