"""How long it takes to read an export and pair it, beside the least that reading JSON takes."""

import json

import pytest

from model.conversation import Window
from pipeline.export import read_chat
from pipeline.pairs import sessions_of
from pipeline.roster_file import roster_of
from pipeline.sample import write_sample


@pytest.fixture(scope="module")
def export(tmp_path_factory):
    return write_sample(tmp_path_factory.mktemp("sample"))


def test_json_alone(benchmark, export):
    benchmark(lambda: json.loads(export.read_text("utf-8")))


def test_reading_an_export(benchmark, export):
    benchmark(read_chat, export)


def test_pairing_its_messages(benchmark, export):
    messages = read_chat(export).messages
    roster = roster_of(messages)

    benchmark(sessions_of, messages, roster, Window())
