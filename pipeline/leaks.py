"""Looks into the files of a dataset for what training and test must not share."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from pipeline.split import SplitName
from pipeline.summary import Leaks

_MESSAGES = ("message_ids", "context_ids")


def leaks(source: Callable[[str], Any]) -> Leaks:
    """Compare a dataset's training file with those that judge; `source` opens a file by its name.

    Messages are told by chat and id, whether they stand in a context or in a target.
    """
    train, validation, test = (_Seen(source, name) for name in ("train", "validation", "test"))
    shared = sum(
        len(np.intersect1d(ids, train.messages[chat]))
        for chat, ids in test.messages.items()
        if chat in train.messages
    )
    judging = np.union1d(validation.sessions, test.sessions)
    both = len(np.intersect1d(train.sessions, judging)) + len(
        np.intersect1d(validation.sessions, test.sessions)
    )
    return Leaks(test_messages_in_training=shared, sessions_on_both_sides=both)


class _Seen:
    """The messages of a split by chat, and its sessions, both as sorted arrays of ids."""

    def __init__(self, source: Callable[[str], Any], name: SplitName) -> None:
        self.messages: dict[int, Any] = {}
        sessions: list[Any] = []
        file = pq.ParquetFile(source(f"{name}.parquet"))
        for batch in file.iter_batches(columns=["chat_id", "session", *_MESSAGES]):
            sessions.append(np.unique(batch.column("session").to_numpy()))
            chats = batch.column("chat_id").to_numpy()
            for chat in np.unique(chats).tolist():
                own = batch.filter(chats == chat)
                ids = [own.column(column).flatten().to_numpy() for column in _MESSAGES]
                known = self.messages.get(chat, np.empty(0, np.int64))
                self.messages[chat] = _merged([known, *ids])
        self.sessions = _merged(sessions)


def _merged(parts: Sequence[Any]) -> Any:  # noqa: ANN401  numpy's border
    return np.unique(np.concatenate(parts)) if parts else np.empty(0, np.int64)
