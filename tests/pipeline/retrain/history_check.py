"""What a models folder keeps of a chat, beside what one export of all of it holds."""

from dataclasses import dataclass, replace

from model.chat.permissions import apply_to_training
from pipeline.dataset.pairs import (
    BuildOptions,
    ChatMessages,
    SessionRules,
    make_pairs,
    make_sessions,
)
from pipeline.dataset.roster_file import read_roster
from pipeline.export.archive import open_exports
from pipeline.export.files import ExportFile
from pipeline.retrain.merge import merge_chat
from pipeline.retrain.people import read_dump_notes
from tests.pipeline.chats import write
from tests.pipeline.retrain.dumps import dump


@dataclass(frozen=True)
class Held:
    """How many messages there are, and of each pair its ids, contexts and target."""

    messages: int
    pairs: list


def history_and_export(root, whole_export, **choices):
    """Return what a models folder keeps of a chat, and what its whole export holds.

    What is known of people's decisions and of the bot is applied to both.
    """
    roster = read_roster(root / "roster.toml")
    with open_exports([whole_export]) as archive:
        one = archive.only(None)
        about = {"name": one.name, "type": one.kind, "id": one.number}
        nothing = write(root.parent / "empty", dump(**about))
        with merge_chat(root, [], [read_dump_notes(ExportFile(nothing))], None) as merged:
            roster = replace(
                apply_to_training(roster, merged.ledger.facts),
                understudies=merged.ledger.understudies,
            )
            kept = _held(merged.spool, merged.chat, roster, choices)
        return kept, _held(archive.spool, one, roster, choices)


def _held(spool, chat, roster, choices):
    options = BuildOptions(**choices)
    messages = ChatMessages(spool, chat, roster, options)
    sessions = make_sessions(messages, SessionRules(roster, options.window))
    pairs = [
        (pair.message_ids, pair.context_ids, pair.context, pair.target)
        for pair in make_pairs(sessions, chat.chat_id, options.window)
    ]
    return Held(spool.counts(chat.chat_id).messages, pairs)
