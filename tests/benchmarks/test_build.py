"""How long a build of the demo's chat takes, beside the least that reading its JSON takes."""

import json

import pytest

from pipeline.build import build
from pipeline.inspection import inspect
from pipeline.options import WINDOW
from pipeline.pairing import Choices
from pipeline.sample import write_sample


@pytest.fixture(scope="module")
def export(tmp_path_factory):
    return write_sample(tmp_path_factory.mktemp("sample"))


def test_json_alone(benchmark, export):
    benchmark(lambda: json.loads(export.read_text("utf-8")))


def test_looking_through_an_export(benchmark, export):
    benchmark(inspect, [export], None, None, WINDOW, roster_path=None, min_messages=200)


def test_building_a_dataset(benchmark, export, tmp_path):
    summary = benchmark(build, [export], tmp_path / "dataset", Choices())

    assert summary.messages == 29_527
