"""Buffer pairs until all sessions are known and can be split.

They are kept in unnamed temporary files, which disappear with the process, even if it is killed.
Each pair takes 20 bytes of memory.
"""

import hashlib
import tempfile
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from model.files import place_in_errors
from pipeline.pairs import Pair
from pipeline.split import SPLITS, Written

_BATCH = 2_048  # pairs
_DIGEST = 16  # bytes

FIELDS = {
    "id": pa.string(),
    "chat_id": pa.int64(),
    "message_ids": pa.list_(pa.int64()),
    "context_ids": pa.list_(pa.int64()),
    "voice": pa.string(),
    "context": pa.list_(pa.string()),
    "target": pa.list_(pa.string()),
    "sent_at": pa.timestamp("s", tz="UTC"),
    "session": pa.int32(),
    "since": pa.int32(),
    "marks": pa.list_(pa.string()),
}
_DRAFT = pa.schema(list(FIELDS.items()))
_FINAL = pa.schema([*FIELDS.items(), ("seen", pa.bool_())])


class Draft:
    """Takes in pairs one by one, then writes those of each split into a file of its own."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  closed with the draft
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        self._stream = pa.ipc.new_stream(self._file, _DRAFT, options=options)
        self._waiting: list[Pair] = []
        self._sessions, self._since = array("i"), array("i")
        self._voices, self._names = array("i"), dict[str, int]()
        self._targets = array("q")
        self._digests = tempfile.TemporaryFile()  # noqa: SIM115  closed with the draft

    def close(self) -> None:
        """Let the pairs go."""
        self._stream.close()
        self._file.close()
        self._digests.close()

    def __len__(self) -> int:
        """Return how many pairs were taken in."""
        return len(self._sessions)

    def add(self, pair: Pair) -> None:
        """Take in a pair."""
        self._sessions.append(pair.session)
        self._since.append(pair.since)
        self._voices.append(self._names.setdefault(pair.voice, len(self._names)))
        said = "\n".join(pair.target).casefold()
        self._targets.append(int.from_bytes(_digest(said.encode(), 8), signed=True))
        row = orjson.dumps([pair.id, pair.voice, pair.context, pair.target])
        self._digests.write(_digest(row, _DIGEST))
        self._waiting.append(pair)
        if len(self._waiting) >= _BATCH:
            self._flush()

    def write(self, target: Callable[[str], Any], splits: "array[int]") -> Written:
        """Write one Parquet file for each split; `splits` has an entry for each session.

        `target` returns a file's path, or the open file, for its name.
        """
        self._flush()
        self._stream.close()
        by_session = np.frombuffer(splits, np.int8)
        places = by_session[np.frombuffer(self._sessions, np.int32)]
        since = by_session[np.frombuffer(self._since, np.int32)]
        places = np.where(places == since, places, np.int8(-1))
        seen = self._seen(places)
        self._write_files(target, places, seen)
        return Written(
            voices=tuple(self._by_voice(places == place) for place in range(len(SPLITS))),
            seen=tuple(int(seen[places == place].sum()) for place in range(len(SPLITS))),
            dropped=int((places < 0).sum()),
            content_hash=self._content_hash(places),
        )

    def _seen(self, places: Any) -> Any:  # noqa: ANN401  numpy's border
        """Return which pairs outside training have a target that also occurs in training.

        Sorts in place: np.unique and np.isin would hold several copies of all targets.
        """
        targets = np.frombuffer(self._targets, np.int64)
        trained = targets[places == 0]
        trained.sort()
        seen = np.zeros(len(places), bool)
        judging = np.flatnonzero(places > 0)
        if len(trained):
            wanted = targets[judging]
            found = np.searchsorted(trained, wanted)
            seen[judging] = trained[np.minimum(found, len(trained) - 1)] == wanted
        return seen

    def _flush(self) -> None:
        if self._waiting:
            with place_in_errors(Path(tempfile.gettempdir())):
                self._stream.write_batch(_batch(self._waiting))
            self._waiting = []

    def _write_files(self, target: Callable[[str], Any], places: Any, seen: Any) -> None:  # noqa: ANN401
        with ExitStack() as stack:
            files = [
                stack.enter_context(
                    pq.ParquetWriter(
                        target(f"{name}.parquet"),
                        _FINAL,
                        compression="zstd",
                        write_statistics=False,
                    )
                )
                for name in SPLITS
            ]
            start = 0
            for batch in self._batches():
                end = start + batch.num_rows
                whole = pa.record_batch([*batch.columns, pa.array(seen[start:end])], schema=_FINAL)
                for place, file in enumerate(files):
                    own = whole.filter(pa.array(places[start:end] == place))
                    if own.num_rows:
                        file.write_batch(own)
                start = end

    def _batches(self) -> Iterator[Any]:
        self._file.seek(0)
        yield from pa.ipc.open_stream(self._file)

    def _by_voice(self, mask: Any) -> dict[str, int]:  # noqa: ANN401
        counts = np.bincount(
            np.frombuffer(self._voices, np.int32)[mask], minlength=len(self._names)
        )
        return {name: int(counts[number]) for name, number in self._names.items()}

    def _content_hash(self, places: Any) -> str:  # noqa: ANN401
        total = hashlib.sha256()
        for place, name in enumerate(SPLITS):
            total.update(name.encode())
            self._digests.seek(0)
            for start in range(0, len(places), _BATCH):
                rows = np.frombuffer(self._digests.read(_BATCH * _DIGEST), np.uint8)
                own = places[start : start + _BATCH] == place
                total.update(rows.reshape(-1, _DIGEST)[own].tobytes())
        return total.hexdigest()


def _batch(pairs: Sequence[Pair]) -> Any:  # noqa: ANN401  pyarrow ships no types
    columns = [
        pa.array([getattr(pair, name) for pair in pairs], kind) for name, kind in FIELDS.items()
    ]
    return pa.record_batch(columns, schema=_DRAFT)


def _digest(text: bytes, size: int) -> bytes:
    return hashlib.blake2b(text, digest_size=size).digest()
