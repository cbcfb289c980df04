"""Exports read to their end, for tests."""

from dataclasses import dataclass

from model.chat.conversation import Message
from pipeline.export.archive import ExportedChat, open_exports
from pipeline.export.merging import Author, EntryCounts


@dataclass(frozen=True)
class Reading:
    """All there is to see of a chat."""

    chat: ExportedChat
    messages: list[Message]
    counts: EntryCounts
    authors: list[Author]

    @property
    def ids(self):
        return [message.message_id for message in self.messages]

    @property
    def texts(self):
        return [message.text for message in self.messages]

    @property
    def tally(self):
        return self.chat.tally


def _reading(archive, chat):
    spool = archive.spool
    return Reading(
        chat,
        list(spool.messages(chat.chat_id)),
        spool.counts(chat.chat_id),
        spool.authors(chat.chat_id),
    )


def read(*paths, wanted=None, zone=None):
    """Read the wanted chat, or the only one."""
    with open_exports(list(paths), wanted, zone) as archive:
        return _reading(archive, archive.only(wanted))


def read_all(*paths, zone=None):
    """Read every chat, by its id in the Bot API."""
    with open_exports(list(paths), None, zone) as archive:
        return {chat_id: _reading(archive, chat) for chat_id, chat in archive.chats.items()}
