"""The whole card: a perfect model's figures, a bad one's, and the keys that readers rely on."""

import json

import pytest

from pipeline.evaluation.scorecard import compute_scorecard
from tests.pipeline.evaluation.people import VOICES, answers, evidence, next_voice

KEYS = (
    *(f"attribution.bags_of_{n}.{arm}" for n in (1, 5, 10)
      for arm in ("generated", "ceiling", "base", "markov", "nearest", "swapped")),
    "right_voice.share",
    *(f"nats_per_char.{arm}" for arm in ("tuned", "base", "no_context")),
    *(f"nats_per_char.voices.{v}.{arm}" for v in VOICES for arm in ("tuned", "base", "no_context")),
    "copied.generated", "copied.real", "real_or_not_auc", "chrf", "rouge.rougeL",
)  # fmt: skip


def at(card, name):
    for key in name.split("."):
        card = card[key]
    return card


@pytest.fixture(scope="module")
def good():
    return compute_scorecard(evidence(), seed=0)


@pytest.mark.parametrize("name", KEYS)
def test_every_figure_stands_under_its_name_with_its_interval(good, name):
    low, high = good["intervals"][name]

    assert isinstance(at(good, name), float)
    assert low <= high


def test_a_perfect_model_scores_as_the_real_replies_do(good):
    bags = good["attribution"]["bags_of_10"]

    assert bags["generated"] == bags["ceiling"] == bags["markov"] == bags["nearest"] == 1.0
    assert bags["swapped"] == 0.0
    assert bags["base"] < 0.5
    assert good["attribution"]["words_and_habits"]["bags_of_10"]["generated"] == 1.0
    assert good["attribution"]["share_of_ceiling"] == 1.0
    assert good["right_voice"]["share"] == 1.0
    assert good["copied"]["generated"] == 0.0 < good["copied"]["nearest"] == 1.0
    assert 0.3 < good["real_or_not_auc"] < 0.7 < good["real_or_not"]["base"]
    assert good["personal_data"] == 0
    assert good["habits"]["distance"]["generated"] < good["habits"]["distance"]["base"]


def test_a_bad_model_s_figures_say_so(good):
    held_out = evidence().held_out
    leaking = [
        (*answer.messages, "my number is +351 912 345 678")
        for answer in answers(held_out, 4, next_voice)
    ]
    arms = {
        **evidence().arms,
        "generated": tuple(
            type(a)(a.asked, said)
            for a, said in zip(evidence().arms["generated"], leaking, strict=True)
        ),
    }

    bad = compute_scorecard(evidence(arms=arms), seed=0)

    assert bad["attribution"]["bags_of_10"]["generated"] < 0.5
    assert bad["personal_data"] == len(held_out)
    assert bad["real_or_not_auc"] > good["real_or_not_auc"]
    assert bad["habits"]["distance"]["generated"] > good["habits"]["distance"]["generated"]


def test_canaries_are_told_where_they_were_planted(good):
    planted = ("the code word of Ambrose is acorn amber lemon",)
    said = evidence().arms["generated"]
    arms = {**evidence().arms, "generated": (type(said[0])(said[0].asked, planted), *said[1:])}

    told = compute_scorecard(evidence(arms=arms, canaries=planted, exposures=(6.0,)), seed=0)

    assert told["canaries"] == {
        "planted": 1, "said": 1, "exposure_mean": 6.0, "exposure_most": 6.0,
    }  # fmt: skip
    assert good["canaries"]["planted"] == 0


def test_the_same_evidence_gives_the_same_card_and_no_words_of_anybody(good):
    written = json.dumps(compute_scorecard(evidence(), seed=0), ensure_ascii=False)

    assert written == json.dumps(good, ensure_ascii=False)
    assert not any(word in written for word in ("woof", "friday", "language model"))
