"""Merging by itself: without people, training and judging."""

from contextlib import contextmanager

from pipeline.export.archive import export_files
from pipeline.retrain.history import keep
from pipeline.retrain.merge import merged
from pipeline.retrain.people import notes_of
from tests.pipeline.chats import entry

ANNA = [entry(n, 1 + n % 2, f"words {n}", 60 * n) for n in range(1, 6)]
LATER = [entry(n, 1 + n % 2, f"words {n}", 60 * n) for n in range(6, 9)]
ALL = [(n, f"words {n}") for n in range(1, 9)]
"""What is said then, by id."""


@contextmanager
def merging(root, files, expected=None):
    notes = [one for file in files if (one := notes_of(file))]
    dumps = {one.file for one in notes}
    exports = export_files([file for file in files if file not in dumps]) if files else []
    with merged(root, exports, notes, expected) as whole:
        yield whole


def remember(whole):
    """Keep what was merged, as a retraining does, and return the history."""
    history = whole.history
    kept = type(history)(history.folder, whole.ledger, history.head, history.file)
    return keep(kept, whole.head, whole.spool.rows(whole.chat.chat_id), list(whole.spool.names))


def said(whole):
    """Return the chat as (id, text), in order of time."""
    return [(m.message_id, m.text) for m in whole.spool.messages(whole.chat.chat_id)]
