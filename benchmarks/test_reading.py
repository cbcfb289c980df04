"""How fast exports are read, beside other ways to read them; all that is measured is one run.

`READING_MESSAGES` says how large the export is. Ratios are what counts: compare within one run.
"""

import json
import os
from collections import deque

import ijson
import orjson
import pandas as pd
import pytest

from benchmarks.big_export import write_big_export
from pipeline.export.archive import open_exports
from pipeline.export.reader import read_events

MESSAGES = int(os.environ.get("READING_MESSAGES", "200000"))
CHUNK = 1 << 19


@pytest.fixture(scope="module")
def export(tmp_path_factory):
    return write_big_export(tmp_path_factory.mktemp("big") / "result.json", MESSAGES)


@pytest.fixture
def timed(benchmark):
    """Return what times one run: a second one would only find the file in memory again."""

    def once(run, *given):
        return benchmark.pedantic(run, args=given, rounds=1, warmup_rounds=0)

    return once


def by_json(path):
    with path.open(encoding="utf-8") as file:
        return len(json.load(file)["messages"])


def by_pandas(path):
    with path.open(encoding="utf-8") as file:
        return len(pd.DataFrame(json.load(file)["messages"]))


def by_pandas_flat(path):
    with path.open(encoding="utf-8") as file:
        return len(pd.json_normalize(json.load(file)["messages"]))


def by_orjson(path):
    return len(orjson.loads(path.read_bytes())["messages"])


def by_ijson(path):
    with path.open("rb") as file:
        return sum(1 for _ in ijson.items(file, "messages.item"))


def by_plain_slices(path):
    """Cut at the exporter's own indentation and parse each message: the least there is to do."""
    count, rest = 0, b""
    with path.open("rb") as file:
        rest = file.read(CHUNK)
        rest = rest[rest.index(b'"messages": [\n  {\n') + len(b'"messages": [\n  {\n') :]
        while chunk := file.read(CHUNK):
            *whole, rest = (rest + chunk).split(b"\n  },\n  {\n")
            for message in whole:
                orjson.loads(b"{" + message + b"}")
            count += len(whole)
    for message in rest.removesuffix(b"\n  }\n ]\n}\n").split(b"\n  },\n  {\n"):
        orjson.loads(b"{" + message + b"}")
        count += 1
    return count


def by_our_reader(path):
    return sum(len(event) for event in read_events(path, lambda _: True) if isinstance(event, list))


def by_our_archive(path):
    with open_exports([path]) as archive:
        chat = archive.only(None)
        deque(archive.spool.messages(chat.chat_id), maxlen=0)
        counts = archive.spool.counts(chat.chat_id)
    return counts.messages + counts.service


@pytest.mark.parametrize(
    "reader",
    [by_json, by_pandas, by_pandas_flat, by_orjson, by_ijson, by_plain_slices, by_our_reader,
     by_our_archive],
    ids=["json", "json into pandas", "json into pandas, flat", "orjson", "ijson",
         "plain slices with orjson", "our reader", "our archive, to its last message"],
)  # fmt: skip
def test_reading_an_export(timed, export, reader):
    assert timed(reader, export) == MESSAGES
