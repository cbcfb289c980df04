"""Looks into the files of a dataset for what training and test must not share."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from pipeline.split import SPLITS, SplitName
from pipeline.summary import Leaks

_BATCH = 8_192  # pairs
_MESSAGES = ("message_ids", "context_ids")


def leaks(source: Callable[[str], Any]) -> Leaks:
    """Compare a dataset's training file with the held-out ones; `source` opens a file by name.

    Messages are identified by chat and id, in contexts and in targets. Only the test split's are
    kept in memory; the training file is read as a stream.
    """
    wanted = _distinct(source, "test")
    found = {chat: np.zeros(len(ids), bool) for chat, ids in wanted.items()}
    for chat, ids in _messages(source, "train"):
        if chat in wanted:
            places = np.searchsorted(wanted[chat], ids)
            places[places == len(wanted[chat])] = 0
            found[chat][places[wanted[chat][places] == ids]] = True
    train, validation, test = (_sessions(source, name) for name in SPLITS)
    both = len(np.intersect1d(train, np.union1d(validation, test)))
    both += len(np.intersect1d(validation, test))
    shared = sum(int(each.sum()) for each in found.values())
    return Leaks(test_messages_in_training=shared, sessions_on_both_sides=both)


def _distinct(source: Callable[[str], Any], name: SplitName) -> dict[int, Any]:
    """Return a split's message ids by chat, sorted."""
    found: dict[int, Any] = {}
    for chat, ids in _messages(source, name):
        found[chat] = np.union1d(found.get(chat, ids[:0]), ids)
    return found


def _messages(source: Callable[[str], Any], name: SplitName) -> Iterator[tuple[int, Any]]:
    """Yield the message ids of a split's pairs by chat, batch by batch."""
    for batch in _batches(source, name, ["chat_id", *_MESSAGES]):
        chats = batch.column("chat_id").to_numpy()
        for chat in np.unique(chats).tolist():
            own = batch.filter(chats == chat)
            ids = [own.column(column).flatten().to_numpy() for column in _MESSAGES]
            yield chat, np.unique(np.concatenate(ids))


def _sessions(source: Callable[[str], Any], name: SplitName) -> Any:  # noqa: ANN401  numpy's border
    batches = _batches(source, name, ["session"])
    parts = [np.unique(batch.column("session").to_numpy()) for batch in batches]
    return np.unique(np.concatenate(parts)) if parts else np.empty(0, np.int32)


def _batches(source: Callable[[str], Any], name: SplitName, columns: list[str]) -> Iterator[Any]:
    with pq.ParquetFile(source(f"{name}.parquet")) as file:
        yield from file.iter_batches(_BATCH, columns=columns)
