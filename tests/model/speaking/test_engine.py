"""The engines of both families, with small trained models."""

import asyncio
import subprocess
import sys
import threading
from dataclasses import replace
from itertools import chain

import pytest

from model.artifacts.artifact import Decoding
from model.errors import GenerationStopped
from model.speaking import engine
from model.speaking.engine import GenerationRequest, list_forbidden_tokens
from model.speaking.speaker import open_speaker

CONTEXT = ("Hugo: what about friday? bark bark", "Tiago: shall we go? meow meow")
NAMES = ["Hugo", "Tiago", "Raul"]
FAIR = Decoding(max_new_tokens=24)
"""The defaults, without a repetition penalty."""
HOT = replace(FAIR, temperature=5, top_k=0, top_p=1, candidates=50)


@pytest.fixture
def speaker(trained):
    return open_speaker(trained.open(), device="cpu", seed=1)


@pytest.fixture
def asked(speaker):
    label = speaker.codec.label_ids("Hugo")
    return GenerationRequest(speaker.codec.prompt_ids(CONTEXT, 384), label, label)


def exact_scores(speaker, request, draws):
    texts = [draw.ids for draw in draws]
    return [sum(row) for row in speaker.engine.scores(request.prompt, request.forced, texts)]


def test_a_candidate_has_its_log_probability(speaker, asked):
    [draws] = speaker.engine.candidates([asked], replace(FAIR, temperature=0.3))

    assert len(draws) == FAIR.candidates
    assert [d.score for d in draws] == pytest.approx(exact_scores(speaker, asked, draws), abs=0.03)


def test_a_long_prompt_is_drawn_for_a_few_candidates_at_a_time(speaker, asked, monkeypatch):
    monkeypatch.setattr(engine, "_POSITIONS_PER_CALL", 1)
    calls = engine.divide_candidates(asked, FAIR)

    [draws] = speaker.engine.candidates([asked], FAIR)

    assert calls == [1] * FAIR.candidates
    assert [d.score for d in draws] == pytest.approx(exact_scores(speaker, asked, draws), abs=0.03)


@pytest.mark.parametrize("length", [1, 100, 400, 5000])
@pytest.mark.parametrize("count", [1, 4, 8, 50])
def test_candidates_are_divided_evenly(length, count):
    request = GenerationRequest([5] * length, [1], [1])

    counts = engine.divide_candidates(request, replace(FAIR, candidates=count))

    assert sum(counts) == count
    assert max(counts) - min(counts) <= 1
    tokens = length + 1 + FAIR.max_new_tokens
    assert max(counts) * tokens <= max(tokens, engine._POSITIONS_PER_CALL)


async def test_shared_speakers_reply_at_the_same_time(trained):
    first = open_speaker(trained.open(), device="cpu", workers=2)
    second = first.fork()
    both = threading.Barrier(2, timeout=60)

    def speak(speaker):
        def wait_for_the_other():
            if not met.is_set():
                both.wait()
                met.set()
            return False

        met = threading.Event()
        return speaker.reply(CONTEXT, "Hugo", should_stop=wait_for_the_other)

    replies = await asyncio.gather(*(asyncio.to_thread(speak, one) for one in (first, second)))

    assert all(replies)
    assert first.rejected is not second.rejected


def test_requests_of_different_lengths_are_answered_in_one_batch(speaker, asked):
    label = speaker.codec.label_ids("Raul")
    other = GenerationRequest(speaker.codec.prompt_ids(CONTEXT[:1], 384), label, label)
    greedy = replace(FAIR, top_k=1, candidates=1)

    together = speaker.engine.candidates([asked, other], greedy)

    alone = [speaker.engine.candidates([request], greedy)[0] for request in (asked, other)]
    assert len({tuple(draws[0].ids) for draws in together}) == len(together)
    for [ours], [theirs], request in zip(together, alone, (asked, other), strict=True):
        assert ours.ids == theirs.ids
        assert [ours.score] == pytest.approx(exact_scores(speaker, request, [ours]), abs=0.03)


def test_a_reply_ends_before_a_line_without_its_own_label(speaker, asked):
    draws = speaker.engine.candidates([asked] * 5, replace(HOT, candidates=60))

    newline, label = speaker.codec.newline_id, list(asked.label)
    for draw in chain(*draws):
        for at, token in enumerate(draw.ids):
            if token == newline:
                assert draw.ids[at + 1 : at + 1 + len(label)] == label


def test_a_reply_at_the_token_limit_is_not_complete(speaker, asked):
    [draws] = speaker.engine.candidates([asked], replace(HOT, max_new_tokens=3))

    assert any(not draw.is_complete for draw in draws)
    assert all(draw.is_complete or len(draw.ids) <= 3 for draw in draws)


def test_labels_have_the_same_scores_one_by_one_and_after_one_reading(speaker, asked, monkeypatch):
    labels = [speaker.codec.label_ids(name) for name in NAMES]
    asked = [*asked.prompt * 5], (), labels

    found = speaker.engine.scores(*asked)

    monkeypatch.setattr(engine, "_TOKENS_PER_STEP", 10**6)
    for row, exact in zip(found, speaker.engine.scores(*asked), strict=True):
        assert row == pytest.approx(exact, abs=0.02)


def test_a_reply_has_the_same_score_alone_and_in_a_batch(speaker, asked):
    replies = [speaker.codec.reply_ids("Hugo", ["me too " * n]).ids for n in range(1, 40)]

    together = speaker.engine.scores(asked.prompt, asked.forced, replies)

    alone = speaker.engine.scores(asked.prompt, asked.forced, replies[-1:])
    assert list(map(len, together)) == list(map(len, replies))
    assert sum(together[-1]) == pytest.approx(sum(alone[0]), abs=0.1)


def test_no_bracket_is_drawn_at_any_temperature(speaker, asked):
    [draws] = speaker.engine.candidates([asked], HOT)

    text = "\n".join(speaker.codec.reply_text("Hugo", draw.ids) for draw in draws)
    assert len(text) > 1000
    assert "[" not in text


def test_brackets_would_be_drawn_if_they_were_not_suppressed(speaker, asked, monkeypatch):
    monkeypatch.setattr(speaker.engine, "_forbidden", None)

    draws = speaker.engine.candidates([asked] * 20, replace(HOT, candidates=50))

    assert any("[" in speaker.codec.reply_text("Hugo", draw.ids) for draw in chain(*draws))


class TestStopping:
    class After:
        """Stops a generation at the given call."""

        def __init__(self, calls):
            self.left = calls

        def __call__(self):
            self.left -= 1
            return self.left < 0

    def test_a_generation_stops_at_the_requested_token(self, speaker, asked):
        should_stop = self.After(8)

        with pytest.raises(GenerationStopped):
            speaker.engine.candidates([asked], HOT, should_stop)

        assert should_stop.left >= -HOT.candidates - 8  # each candidate once, never all tokens

    def test_the_next_generation_is_unaffected(self, speaker, asked):
        with pytest.raises(GenerationStopped):
            speaker.engine.candidates([asked], FAIR, lambda: True)

        [draws] = speaker.engine.candidates([asked], FAIR, lambda: False)
        assert len(draws) == FAIR.candidates

    def test_a_stopped_reply_or_turn_makes_no_further_tries(self, speaker):
        with pytest.raises(GenerationStopped):
            speaker.reply(CONTEXT, "Hugo", should_stop=lambda: True)
        with pytest.raises(GenerationStopped):
            speaker.turn(CONTEXT, NAMES, should_stop=lambda: True)


def test_the_end_may_always_be_drawn(speaker):
    end = speaker.codec.tokens([speaker.codec.end_id])

    assert end not in list_forbidden_tokens(speaker.codec)


def test_a_process_that_has_generated_ends_normally(trained):
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from model.artifacts.artifact import load_artifact\n"
        "from model.speaking.speaker import open_speaker\n"
        "speaker = open_speaker(load_artifact(Path(sys.argv[1])), device='cpu', seed=1)\n"
        "speaker.replies([])\n"
        "print(speaker.reply(('Tiago: shall we go?',), 'Hugo'))\n"
    )

    command = [sys.executable, "-c", program, trained.open().path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")
