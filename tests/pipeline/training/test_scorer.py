"""Replies that are scored together have the scores that each has alone, in both families."""

from dataclasses import replace

import pytest
import torch

from pipeline.training import scorer
from pipeline.training.bases import open_base
from pipeline.training.encoding import encode
from pipeline.training.scorer import (
    ScoringRequest,
    log_probabilities,
    score_examples,
    score_replies,
)
from tests.checkpoints import save_decoder, save_llama, save_t5

BASES = {
    "encoder-decoder": save_t5,
    "decoder-only": save_llama,
    "BLOOM": lambda folder: save_decoder(folder, "bloom"),
}
CONTEXT = ("Hugo: what about friday?", "Tiago: I do not know yet")
REPLIES = (
    ("Hugo", ("shall we go?",)),
    ("Hugo", ("hello there", "how are you today?")),
    ("Raul", ("me too",)),
)


@pytest.fixture(scope="module", params=BASES)
def base(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("base")
    made = open_base(str(BASES[request.param](folder)), folder, ["Hugo: Tiago: Raul: woof"])
    made.weights.eval()
    return made


@pytest.fixture
def examples(base):
    """Replies of one word to many under two names, after contexts of one line to four."""
    contexts = [("Raul: shall we go to the cinema",) * (1 + n * 3 % 4) for n in range(12)]
    names, replies = ("Hugo", "Raul"), [("me too " * (1 + n * 7 % 11),) for n in range(12)]
    return [
        encode(base.codec, names[n // 4 % 2], before, reply, (384, 40))
        for n, (before, reply) in enumerate(zip(contexts, replies, strict=True))
    ]


def alone(base, example):
    """Compute every position's logits, of this example and nothing else."""
    ids = [*example.forced, *example.reply]
    with torch.no_grad():
        if base.family == "encoder-decoder":
            labels = torch.tensor([ids])
            logits = base.weights(torch.tensor([example.prompt]), labels=labels).logits[0]
        else:
            whole = base.weights(torch.tensor([[*example.prompt, *ids]])).logits[0]
            logits = whole[len(example.prompt) - 1 : -1]
    rows = logits.log_softmax(-1)[torch.arange(len(ids)), torch.tensor(ids)]
    return rows[len(example.forced) :].tolist()


@pytest.mark.parametrize("tokens", [1, 150, 4096], ids=["each alone", "a few", "all together"])
def test_each_reply_has_the_log_probabilities_that_it_has_alone(
    base, examples, monkeypatch, tokens
):
    monkeypatch.setattr(scorer, "_TOKENS", tokens)

    found = log_probabilities(base, examples)

    assert [len(row) for row in found] == [len(example.reply) for example in examples]
    for row, example in zip(found, examples, strict=True):
        assert row == pytest.approx(alone(base, example), abs=1e-4)


def test_only_words_count(base, examples):
    for score, example in zip(score_examples(base, examples), examples, strict=True):
        words = zip(alone(base, example), example.is_word, strict=True)
        assert score.nats == pytest.approx(sum(nats for nats, is_word in words if is_word), 1e-4)
        assert (score.tokens, score.characters) == (sum(example.is_word), example.characters)


def test_a_reply_without_words_has_no_probability(base, examples):
    mute = replace(examples[0], reply=(base.codec.end_id,), is_word=(False,))

    mute_score, other = score_examples(base, [mute, examples[1]])

    assert (mute_score.nats, mute_score.tokens) == (0, 0)
    assert other.nats < 0


def test_a_prompt_is_read_once_for_all_its_replies_and_a_pass_fits_the_budget(base, examples):
    shapes = []
    hook = base.weights.get_input_embeddings().register_forward_pre_hook(
        lambda _, inputs: shapes.append(inputs[0].numel())
    )

    score_examples(base, examples * 20)
    hook.remove()

    assert len(shapes) > 2
    assert max(shapes) <= 1.5 * scorer._TOKENS  # T5's rows are padded
    tokens = sum(example.length for example in examples * 20)
    assert sum(shapes) < (1.05 if base.weights.config.model_type == "bloom" else 0.5) * tokens


def test_no_examples_have_no_log_probabilities(base):
    assert log_probabilities(base, []) == []


def test_requests_are_answered_in_order_and_each_is_reported(base):
    requests = [
        ScoringRequest(CONTEXT, REPLIES),
        ScoringRequest((), REPLIES[:1]),
        ScoringRequest(CONTEXT[:1], ()),
    ]
    reported = []

    scores = score_replies(base, requests, 384, lambda: reported.append(1))

    assert [len(own) for own in scores] == [3, 1, 0]
    assert len(reported) == 3
    for score, (name, messages) in zip(scores[0], REPLIES, strict=True):
        example = encode(base.codec, name, CONTEXT, messages, (384, 96))
        words = zip(alone(base, example), example.is_word, strict=True)
        assert score.nats == pytest.approx(sum(nats for nats, is_word in words if is_word), 1e-4)
        assert score.characters == sum(len(f" {text}") for text in messages)
    assert scores[1][0].nats != pytest.approx(scores[0][0].nats, abs=1e-3)
