"""Scoring several replies at once gives the same as scoring each alone, for both families."""

import pytest
import torch

from pipeline.evaluation.scorer import ScoringRequest, score_replies
from pipeline.training.bases import open_base
from tests.checkpoints import save_llama, save_t5

CONTEXT = ("Hugo: what about friday?", "Tiago: I do not know yet")
REPLIES = (
    ("Hugo", ("shall we go?",)),
    ("Hugo", ("hello there", "how are you today?")),
    ("Raul", ("me too",)),
)


@pytest.fixture(scope="module", params=[save_llama, save_t5], ids=["decoder-only", "T5"])
def base(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("base")
    return open_base(str(request.param(folder)), folder, ["Hugo: Tiago: Raul: woof"])


def test_replies_scored_together_score_as_they_do_alone(base):
    requests = [
        ScoringRequest(CONTEXT, REPLIES),
        ScoringRequest((), REPLIES[:1]),
        ScoringRequest(CONTEXT[:1], ()),
    ]

    together = score_replies(base, requests, 384)
    alone = [score_replies(base, [ScoringRequest(CONTEXT, (one,))], 384)[0][0] for one in REPLIES]

    assert [len(scores) for scores in together] == [3, 1, 0]
    for one, other in zip(together[0], alone, strict=True):
        assert one.nats == pytest.approx(other.nats, abs=1e-3)
        assert (one.tokens, one.characters) == (other.tokens, other.characters)
    assert together[1][0].nats != pytest.approx(together[0][0].nats, abs=1e-3)


def test_only_the_words_count(base):
    one, two, _ = score_replies(base, [ScoringRequest(CONTEXT, REPLIES)], 384)[0]

    codec = base.codec
    assert one.characters == len(" shall we go?")
    assert two.characters == len(" hello there") + len(" how are you today?")
    assert one.tokens == len(codec.reply_ids("Hugo", REPLIES[0][1]).ids)
    assert two.tokens == sum(len(codec.reply_ids("Hugo", (t,)).ids) for t in REPLIES[1][1])


def test_the_score_is_the_models_own(tmp_path):
    base = open_base(str(save_llama(tmp_path / "base")), tmp_path, [])
    (scores,) = score_replies(base, [ScoringRequest(CONTEXT, REPLIES[:1])], 384)
    reply = base.codec.reply_ids("Hugo", REPLIES[0][1])
    forced, words = reply.forced, reply.ids
    prompt = base.codec.prompt_ids(CONTEXT, 384)

    with torch.no_grad():
        logits = base.weights(torch.tensor([[*prompt, *forced, *words]])).logits[0]
    rows = logits.log_softmax(-1)[len(prompt) + len(forced) - 1 : -1]
    expected = float(rows[range(len(words)), words].sum())

    assert scores[0].nats == pytest.approx(expected, abs=1e-3)
