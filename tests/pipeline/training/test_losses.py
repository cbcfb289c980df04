"""A reply's log-probabilities do not depend on the other replies in its batch."""

import pytest
import torch

from pipeline.training import losses as judging
from pipeline.training.bases import open_base
from pipeline.training.encoding import encode
from pipeline.training.losses import losses, reply_log_probabilities
from tests.checkpoints import save_llama, save_t5

BASES = {"encoder-decoder": save_t5, "decoder-only": save_llama}


@pytest.fixture(params=BASES)
def base(request, tmp_path):
    made = open_base(str(BASES[request.param](tmp_path)), tmp_path, [])
    made.weights.eval()
    return made


@pytest.fixture
def examples(base):
    """Replies of one word to many, after contexts of one line to six, the longest in between."""
    contexts = [("Raul: shall we go to the cinema",) * (1 + n * 5 % 6) for n in range(12)]
    replies = [("me too " * (1 + n * 7 % 11),) for n in range(12)]
    pairs = zip(contexts, replies, strict=True)
    return [encode(base.codec, "Hugo", before, reply, (384, 40)) for before, reply in pairs]


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
    monkeypatch.setattr(judging, "_TOKENS", tokens)

    found = reply_log_probabilities(base, examples, bf16=False)

    assert [len(row) for row in found] == [len(example.reply) for example in examples]
    for row, example in zip(found, examples, strict=True):
        assert row == pytest.approx(alone(base, example), abs=1e-4)


def test_a_batch_fits_the_budget_and_starts_with_the_longest(base, examples):
    shapes = []
    base.weights.get_input_embeddings().register_forward_pre_hook(
        lambda _, inputs: shapes.append(inputs[0].numel())
    )

    losses(base, examples * 20, bf16=False)

    assert len(shapes) > 2
    assert max(shapes) <= judging._TOKENS
    assert sum(shapes) < 1.3 * sum(example.length for example in examples * 20)


def test_no_examples_have_no_losses(base):
    assert reply_log_probabilities(base, [], bf16=False) == []
