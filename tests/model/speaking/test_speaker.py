"""Small trained models of both families: they reply in the forced voice and pass the filters."""

import logging
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from itertools import cycle, product

import pytest

from model.artifacts.artifact import Decoding
from model.errors import VoiceError
from model.speaking.copy_index import open_index
from model.speaking.speaker import open_speaker
from pipeline.dataset.storage import load_dataset
from tests.habits import HABITS

CONTEXT = ("Hugo: what about friday? bark bark", "Tiago: shall we go? meow meow")


@pytest.mark.parametrize("name", HABITS)
def test_a_forced_voice_shows_its_own_habit(trained, name):
    speaker = open_speaker(trained.open(), device="cpu", seed=1)

    replies = [" ".join(speaker.reply(CONTEXT, name)) for _ in range(10)]

    shown = Counter(habit for reply in replies for habit in HABITS.values() if habit in reply)
    assert shown[HABITS[name]] >= 8
    assert shown.total() - shown[HABITS[name]] <= 1


def test_the_model_draws_every_voice_and_nobody_else(trained):
    speaker = open_speaker(trained.open(), device="cpu", seed=1)

    drawn = Counter(speaker.choose_voice(CONTEXT, list(HABITS)) for _ in range(60))

    assert set(drawn) == set(HABITS)


def test_a_voice_that_is_not_offered_is_never_drawn(trained):
    speaker = open_speaker(trained.open(), device="cpu", seed=1)

    drawn = {speaker.choose_voice(CONTEXT, ["Raul"]) for _ in range(5)}

    assert drawn == {"Raul"}


def test_an_empty_context_gets_a_reply(trained):
    speaker = open_speaker(trained.open(), device="cpu", seed=1)

    assert speaker.reply((), "Hugo")


LURES = [
    (),
    CONTEXT,
    ("Raul: [photo]", "Hugo: [link]", "Raul: [photo] friday?"),
    ("Hugo: hello", "[…]", "Tiago: 😂😂"),
    ("Tiago: Raul: me too", "Hugo: Tiago:", "Raul: Hugo: Hugo:"),
    ("Raul: what about you? tweet tweet", "Hugo: what about you? bark bark"),
]
TEMPERATURES = (0.7, 1.0, 1.8)  # the last is so wild that most candidates are no words


@pytest.mark.parametrize("count", [100, pytest.param(2_000, marks=pytest.mark.soak)])
def test_all_lines_pass_the_filters(trained, count):
    artifact = trained.open()
    speakers = [
        open_speaker(artifact, device="cpu", seed=1, decoding=Decoding(temperature=heat))
        for heat in TEMPERATURES
    ]
    lines, silent = [], 0

    for speaker, context, name in cycle(product(speakers, LURES, HABITS)):
        try:
            messages = speaker.reply(context, name)
        except VoiceError:
            silent += 1
            continue
        lines += [(context, message) for message in messages]
        if len(lines) >= count:
            break

    assert silent < count / 4
    for context, message in lines:
        assert message.strip() == message != ""
        assert not any(sign in message for sign in ("[", "…]", "\ufffd", "\n\n", "<0x"))
        assert not any(f"{name}:" in message for name in HABITS)
        assert message.lower() not in {line.partition(": ")[2].lower() for line in context[-1:]}


def test_no_reply_is_in_the_copy_index(trained, habits_dataset):
    artifact = trained.open()
    speaker = open_speaker(artifact, device="cpu", seed=1)
    index = open_index(artifact.copy_index)

    replies = [speaker.reply(CONTEXT, name) for name in HABITS for _ in range(20)]

    assert speaker.copy_index is not None
    assert any(index.contains(pair.target) for pair in load_dataset(habits_dataset).train) or (
        len(index.hashes) == 0
    )
    assert not any(index.contains(messages) for messages in replies)


def test_the_table_of_voices_knows_the_voices_habits(trained):
    table = open_speaker(trained.open(), device="cpu", seed=1).voice_table

    assert table is not None
    for name, habit in HABITS.items():
        odds = [table.log_odds([f"fine {habit}"], other) for other in HABITS]
        assert max(odds) == table.log_odds([f"fine {habit}"], name) > 0


def test_an_artifact_without_a_table_of_voices_works(trained):
    artifact = trained.open()
    kept = artifact.voice_table.read_bytes()
    artifact.voice_table.unlink()

    try:
        speaker = open_speaker(artifact, device="cpu", seed=1)
    finally:
        artifact.voice_table.write_bytes(kept)
        artifact.voice_table.chmod(0o600)

    assert speaker.voice_table is None
    assert speaker.reply(CONTEXT, "Hugo")


def test_an_artifact_without_a_copy_index_works_with_a_warning(trained, caplog):
    artifact = trained.open()
    kept = artifact.copy_index.read_bytes()
    artifact.copy_index.unlink()

    try:
        with caplog.at_level(logging.WARNING, "model.speaking.speaker"):
            speaker = open_speaker(artifact, device="cpu", seed=1)
    finally:
        artifact.copy_index.write_bytes(kept)
        artifact.copy_index.chmod(0o600)

    assert "no index of training messages" in caplog.text
    assert speaker.reply(CONTEXT, "Hugo")


def test_ranking_keeps_the_habit(trained):
    artifact = trained.open()
    hot = replace(artifact.card.decoding, temperature=1.3)

    shown = {
        count: sum(
            HABITS[name] in " ".join(speaker.reply(CONTEXT, name))
            for speaker in [
                open_speaker(
                    artifact, device="cpu", seed=1, decoding=replace(hot, candidates=count)
                )
            ]
            for name in HABITS
            for _ in range(25)
        )
        for count in (1, 6)
    }

    assert shown[6] >= shown[1] - 3  # of 75: one candidate may have been right each time by chance


SAYS = """
import sys
from pathlib import Path
from model.artifacts.registry import Registry
from model.speaking.speaker import open_speaker
context = ("Hugo: hello you bark bark", "Tiago: friday? meow meow")
for seed in (1, 2):
    speaker = open_speaker(Registry(Path(sys.argv[1])).open(), device="cpu", seed=seed)
    print([speaker.turn(context, ["Hugo", "Raul"]) for _ in range(4)])
"""


def test_a_new_process_repeats_itself_only_with_the_same_seed(trained):
    first, again = (
        subprocess.run(
            [sys.executable, "-c", SAYS, str(trained.root)],
            capture_output=True, text=True, check=True,
        ).stdout.splitlines()
        for _ in range(2)
    )  # fmt: skip

    assert first == again
    assert len(first) == len(set(first)) == 2
