"""Several pairs in a row: the loss that each has alone, and nothing seen that is not its own."""

import pytest
import torch

from pipeline.training.bases import open_base
from pipeline.training.encoding import ROW, collate, encode, foreseeing, header_of, pack
from pipeline.training.hyperparameters import Hyperparameters
from pipeline.training.trainer import Budget, Packed, Precision, Single, step_loss, train
from tests.checkpoints import KINDS, save_t5

LINES = (
    "Hugo: what about friday?",
    "João: não sei 😂",
    "Ana: me too",
    "Hugo: shall we go?",
    "Ana: hello there",
    "João: see you later",
    "Hugo: fine, thanks!",
    "Ana: how are you?",
)
DECODER_ONLY = [kind for kind in KINDS if "T5" not in kind.upper()]
FLOAT32 = Precision(bf16=False, reason="a test")


@pytest.fixture(params=DECODER_ONLY)
def base(request, tmp_path):
    return open_base(str(KINDS[request.param](tmp_path / "base")), tmp_path, ["😂", "João"])


def example(base, context, line):
    voice, text = line.split(": ", 1)
    return encode(base.codec, voice, context, (text,), (400, 64))


def following_turns(base, window=4):
    return [
        example(base, LINES[max(0, turn - window) : turn], LINES[turn])
        for turn in range(1, len(LINES))
    ]


def losses_of(material):
    with torch.no_grad():
        return [float(material.loss([number])) for number in range(len(material.lengths))]


def test_a_pair_alone_in_its_row_has_the_loss_that_it_has_without_rows(base):
    examples = following_turns(base)
    budget = Budget(4096, None)
    alone = Single(base, examples, budget, bf16=False, uniform=False)

    packed = Packed(base, pack(examples, 1, header_of(base.codec)), budget, bf16=False)

    assert packed.pairs == [1] * len(examples)
    assert losses_of(packed) == pytest.approx(losses_of(alone), abs=1e-4)


def test_pairs_whose_contexts_only_grow_have_together_the_losses_that_they_have_alone(base):
    examples = following_turns(base, window=100)
    budget = Budget(4096, None)
    alone = losses_of(Single(base, examples, budget, bf16=False, uniform=False))
    sizes = [len(one.forced) + len(one.reply) for one in examples]

    packed = Packed(base, pack(examples, 100, header_of(base.codec)), budget, bf16=False)

    mean = sum(a * size for a, size in zip(alone, sizes, strict=True)) / sum(sizes)
    assert packed.pairs == [len(examples)]
    assert packed.lengths[0] < sum(one.length for one in examples) / 2
    assert losses_of(packed) == pytest.approx([mean], abs=1e-4)


def test_a_reply_sees_its_own_context_and_itself_alone(base):
    examples = following_turns(base, window=3)

    rows = pack(examples, 100, header_of(base.codec))

    assert len(rows) == 1
    batch = collate(rows, base.codec.pad_id)
    place = len(rows[0].trunk)
    for branch in rows[0].branches:
        one = examples[branch.number]
        end = place + len(branch.ids)
        seen = batch["attention_mask"][0, 0, end - 1]
        assert batch["input_ids"][0][seen].tolist() == [*one.prompt, *one.forced, *one.reply]
        assert batch["position_ids"][0, place] == branch.end
        place = end


def test_every_label_is_foreseen_by_the_token_before_it(base):
    rows = pack(following_turns(base, window=3), 3, header_of(base.codec))

    batch = collate(rows, base.codec.pad_id)

    positions = batch["position_ids"]
    for number, places in enumerate(foreseeing(rows)):
        labels = (batch["labels"][number] != -100).nonzero().flatten().tolist()
        assert [int(positions[number, p]) + 1 for p in places] == [
            int(positions[number, p]) for p in labels
        ]


def test_pairs_of_different_conversations_share_no_row(base):
    first = example(base, LINES[:3], LINES[3])
    other = example(base, ("Ana: tweet tweet",), "Hugo: woof woof")

    rows = pack([first, other], 8, header_of(base.codec))

    assert [len(row.branches) for row in rows] == [1, 1]


def test_a_row_of_several_pairs_never_outgrows_what_attention_can_afford(base):
    context = [f"Hugo: {'what about friday? ' * 6}{n}" for n in range(40)]
    examples = [
        example(base, context[max(0, n - 3) : n], f"Ana: {'me too ' * 8}") for n in range(1, 40)
    ]

    rows = pack(examples, 100, header_of(base.codec))

    assert max(row.length for row in rows) <= ROW
    assert [b.number for row in rows for b in row.branches] == list(range(39))


def test_a_short_memory_does_not_change_a_step(base):
    rows = pack(following_turns(base), 2, header_of(base.codec))

    steps = []
    for tokens in (10_000, 1):
        base.weights.zero_grad()
        loss = step_loss(
            Packed(base, rows, Budget(tokens, None), bf16=False), list(range(len(rows)))
        )
        gradient = next(base.weights.parameters()).grad.clone()
        steps.append((float(loss), gradient))

    assert steps[0][0] == pytest.approx(steps[1][0], abs=1e-4)
    assert torch.allclose(steps[0][1], steps[1][1], atol=1e-4)


def test_packed_training_learns_and_counts_its_pairs(base, tmp_path):
    examples = following_turns(base) * 2
    settings = Hyperparameters(epochs=6, batch_size=7, learning_rate=3e-3, warmup=0)
    before = sum(losses_of(Single(base, examples, Budget(4096, None), bf16=False, uniform=False)))

    outcome = train(base, examples, settings, tmp_path / "work", precision=FLOAT32)

    after = sum(losses_of(Single(base, examples, Budget(4096, None), bf16=False, uniform=False)))
    assert outcome.pairs == 6 * len(examples)
    assert after < before


def test_an_encoder_decoder_keeps_a_row_for_each_pair(tmp_path):
    base = open_base(str(save_t5(tmp_path / "base")), tmp_path, ["😂", "João"])
    examples = following_turns(base)

    outcome = train(
        base,
        examples,
        Hyperparameters(epochs=1, batch_size=7, packing=8),
        tmp_path / "work",
        precision=FLOAT32,
    )

    assert (outcome.steps, outcome.pairs) == (1, 7)
