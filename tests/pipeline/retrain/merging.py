"""Merging by itself: without people, training and judging."""

from contextlib import contextmanager
from dataclasses import replace

from pipeline.export.files import find_exports
from pipeline.retrain.history import write_history
from pipeline.retrain.merge import merge_chat
from pipeline.retrain.people import read_dump_notes
from tests.pipeline.chats import entry

ANNA = [entry(n, 1 + n % 2, f"words {n}", 60 * n) for n in range(1, 6)]
LATER = [entry(n, 1 + n % 2, f"words {n}", 60 * n) for n in range(6, 9)]
ALL = [(n, f"words {n}") for n in range(1, 9)]
"""What is said then, by id."""


@contextmanager
def merging(root, files, expected=None):
    found = find_exports(files)
    notes = [one for file in found if (one := read_dump_notes(file))]
    exports = [file for file in found if not file.index().is_dump]
    with merge_chat(root, exports, notes, expected) as merged:
        yield merged


def remember(merged):
    """Keep what was merged, as a retraining does, and return the history."""
    kept = replace(merged.history, ledger=merged.ledger)
    return write_history(
        kept, merged.header, merged.spool.rows(merged.chat.chat_id), list(merged.spool.names)
    )


def said(merged):
    """Return the chat as (id, text), in order of time."""
    return [(m.message_id, m.text) for m in merged.spool.messages(merged.chat.chat_id)]
