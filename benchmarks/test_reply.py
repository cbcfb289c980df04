"""How long a reply takes with the model that `make demo` left; skips where there is none."""

import statistics
import time
from pathlib import Path

import pytest

from model.artifacts.artifact import Decoding
from model.artifacts.registry import Registry
from model.chat.prompt import parse_reply
from model.errors import ArtifactError
from model.speaking.candidates import ScoredReply, choose_reply
from model.speaking.engine import GenerationRequest
from model.speaking.speaker import open_speaker

CONTEXT = (
    "Tiago: what do you do for work?",
    "Hugo: I design shoes",
    "Tiago: that is so cool. how did you get into that?",
    "Hugo: I studied it at school and then I was lucky",
    "Tiago: what do you like most about it?",
)
_COMPARISONS = 15


@pytest.fixture(scope="module", params=[1, 2], ids=["one thread", "two threads"])
def speaker(request):
    try:
        artifact = Registry(Path("artifacts")).open()
    except ArtifactError as error:
        pytest.skip(str(error))
    return open_speaker(artifact, device="cpu", threads=request.param, seed=1)


@pytest.mark.parametrize("candidates", [1, 4, 8], ids=lambda n: f"{n} candidates")
def test_drawing_a_reply(benchmark, speaker, candidates):
    label = speaker.codec.label_ids("Hugo")
    request = GenerationRequest(speaker.codec.prompt_ids(CONTEXT, 384), label, label)
    decoding = Decoding(candidates=candidates, max_new_tokens=32)

    benchmark(speaker.engine.candidates, [request], decoding)


def test_choosing_one_of_eight_costs_little_more_than_the_former_choice_among_four(
    benchmark, speaker
):
    """Compare with four candidates that are scored without context under five names each."""
    names = ["Hugo", "Tiago", "Leonardo", "Andre", "Raul"]
    label = speaker.codec.label_ids("Hugo")
    request = GenerationRequest(speaker.codec.prompt_ids(CONTEXT, 384), label, label)
    bare = speaker.codec.prompt_ids((), 384)

    def measure(candidates, choose):
        started = time.process_time()
        decoding = Decoding(candidates=candidates, max_new_tokens=32)
        [drawn] = speaker.engine.candidates([request], decoding)
        texts = [speaker.codec.reply_text("Hugo", one.ids) for one in drawn]
        choose([ScoredReply(parse_reply("Hugo", text), 0.0) for text in texts], decoding)
        return time.process_time() - started

    def choose_as_before(replies, _):
        for name in names:
            ids = [speaker.codec.reply_ids(name, one.messages).ids for one in replies]
            speaker.engine.scores(bare, speaker.codec.label_ids(name), ids)

    def choose_now(replies, decoding):
        choose_reply(
            speaker.engine, speaker.codec, replies, "Hugo", decoding, speaker.voice_table,
        )  # fmt: skip

    def compare():
        return measure(4, choose_as_before), measure(8, choose_now)

    rows = [benchmark.pedantic(compare, rounds=1)] + [compare() for _ in range(_COMPARISONS - 1)]
    before, now = (statistics.median(column) for column in zip(*rows, strict=True))
    benchmark.extra_info.update(
        before_cpu_seconds=round(before, 3), cpu_seconds=round(now, 3), ratio=round(now / before, 2)
    )
    assert now / before <= 1.6


def test_choosing_who_speaks_next(benchmark, speaker):
    benchmark(speaker.choose_voice, CONTEXT, ["Tiago", "Leonardo", "Hugo", "Andre", "Raul"])
