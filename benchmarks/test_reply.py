"""How long a reply takes with the model that `make demo` left; skips where there is none."""

from pathlib import Path

import pytest

from model.artifacts.artifact import Decoding
from model.artifacts.registry import Registry
from model.errors import ArtifactError
from model.speaking.engine import Request
from model.speaking.speaker import open_speaker

CONTEXT = (
    "Tiago: what do you do for work?",
    "Hugo: I design shoes",
    "Tiago: that is so cool. how did you get into that?",
    "Hugo: I studied it at school and then I was lucky",
    "Tiago: what do you like most about it?",
)


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
    request = Request(speaker.codec.prompt_ids(CONTEXT, 384), label, label)
    decoding = Decoding(candidates=candidates, max_new_tokens=32)

    benchmark(speaker.engine.candidates, [request], decoding)


def test_choosing_who_speaks_next(benchmark, speaker):
    benchmark(speaker.choose_voice, CONTEXT, ["Tiago", "Leonardo", "Hugo", "Andre", "Raul"])
