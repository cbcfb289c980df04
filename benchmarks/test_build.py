"""Measure how long a build takes, and how much memory each message adds.

`BUILD_MESSAGES` is the size of the largest export that memory is measured with.
"""

import json
import os
import random
import subprocess
import sys
import time
from itertools import pairwise

import pytest

from benchmarks.big_export import write_big_export
from model.chat.conversation import Window
from pipeline.dataset.build import build
from pipeline.dataset.inspection import inspect
from pipeline.dataset.pairs import BuildOptions
from pipeline.dataset.sample import write_sample
from tests.pipeline.chats import chat, entry, small, write

MESSAGES = int(os.environ.get("BUILD_MESSAGES", "1000000"))
MOST_BYTES_A_MESSAGE = 60
MANY, FEW = 1_000, 12
PEAK = """
import resource, sys
from pathlib import Path
from pipeline.dataset.build import build
from pipeline.dataset.pairs import BuildOptions
build([Path(sys.argv[1])], Path(sys.argv[2]), BuildOptions())
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


@pytest.fixture(scope="module")
def export(tmp_path_factory):
    return write_sample(tmp_path_factory.mktemp("sample"))


def test_json_alone(benchmark, export):
    benchmark(lambda: json.loads(export.read_text("utf-8")))


def test_looking_through_an_export(benchmark, export):
    benchmark(inspect, [export], None, None, Window(), roster_path=None, min_messages=200)


def test_building_a_dataset(benchmark, export, tmp_path):
    summary = benchmark(build, [export], tmp_path / "dataset", BuildOptions())

    assert summary.messages == 21_362


def crowd(people, messages=30_000):
    """Return a chat of this many people, each equally likely to write."""
    draw = random.Random(0)
    words = [f"word{number}" for number in range(3_000)]
    said = []
    for number in range(1, messages + 1):
        text = " ".join(draw.choices(words, k=7))
        seconds = number * 30 + number // 40 * 9_000
        said.append(entry(number, 1 + draw.randrange(people), text, seconds))
    return chat(*said)


def test_a_build_for_a_thousand_people_takes_little_longer_than_for_a_dozen(benchmark, tmp_path):
    exports = {people: write(tmp_path / str(people), crowd(people)) for people in (FEW, MANY)}

    def seconds(people):
        start = time.process_time()
        build([exports[people]], tmp_path / f"dataset-{people}", small())
        return time.process_time() - start

    few = min(seconds(FEW) for _ in range(3))
    many = benchmark.pedantic(lambda: min(seconds(MANY) for _ in range(3)), rounds=1)

    benchmark.extra_info["times as long as for a dozen"] = round(many / few, 2)
    assert many <= 1.5 * few


def test_each_message_adds_little_memory(benchmark, tmp_path):
    sizes = (MESSAGES // 4, MESSAGES // 2, MESSAGES)

    def peak(messages):
        folder = tmp_path / str(messages)
        export = write_big_export(folder / "result.json", messages)
        program = [sys.executable, "-c", PEAK, str(export), str(folder / "dataset")]
        done = subprocess.run(program, check=True, capture_output=True, text=True)
        export.unlink()
        return int(done.stdout)

    peaks = benchmark.pedantic(lambda: [peak(size) for size in sizes], rounds=1)

    added = [
        (more - less) / (larger - smaller)
        for (less, more), (smaller, larger) in zip(pairwise(peaks), pairwise(sizes), strict=True)
    ]
    benchmark.extra_info["peak, MiB"] = [peak // 2**20 for peak in peaks]
    benchmark.extra_info["bytes a message"] = [round(each, 1) for each in added]
    assert (peaks[-1] - peaks[0]) / (sizes[-1] - sizes[0]) <= MOST_BYTES_A_MESSAGE
