"""The whole card: a perfect model's figures, a bad one's, and the keys that readers rely on."""

import io
import json
from dataclasses import replace

import pytest
from rich.console import Console

from pipeline.cli.tables import print_scorecard
from pipeline.evaluation.heldout import Answer
from pipeline.evaluation.scorecard import compute_scorecard
from pipeline.training.verdict import judge_likeness
from tests.pipeline.evaluation.people import VOICES, answers, evidence, next_voice, turns

KEYS = (
    *(f"attribution.bags_of_{n}.{arm}" for n in (1, 5, 10)
      for arm in ("generated", "real", "cold", "markov", "nearest", "shuffled")),
    *(f"attribution.relative.bags_of_{n}.{arm}" for n in (1, 5, 10)
      for arm in ("generated", "cold")),
    *(f"attribution.named_right.generated.{v}" for v in VOICES),
    *(f"fit.{kind}.{arm}" for kind in ("recall", "relative")
      for arm in ("generated", "real", "markov", "nearest")),
    "right_voice.absent.share", "right_voice.no_context.share",
    *(f"nats_per_char.{arm}" for arm in ("tuned", "no_context")),
    *(f"nats_per_char.voices.{v}.{arm}" for v in VOICES for arm in ("tuned", "no_context")),
    *(f"style.{arm}.{name}" for arm in ("generated", "real")
      for name in ("messages_per_turn", "one_message", "questions", "characters", "bland")),
    "copied.generated", "copied.real", "auc_with_context.generated", "overlap.generated.chrf",
    "overlap.generated.rouge.rougeL",
)  # fmt: skip

pytestmark = pytest.mark.usefixtures("_few_draws")


def at(card, name):
    for key in name.split("."):
        card = card[key]
    return card


@pytest.fixture(scope="module")
def good(_few_draws):
    return compute_scorecard(evidence(), seed=0)


@pytest.fixture(scope="module")
def swapped(_few_draws):
    """The card of a model that speaks as the next voice does."""
    return compute_scorecard(evidence(lambda asked, seed: answers(asked, seed, next_voice)), seed=0)


@pytest.mark.parametrize("name", KEYS)
def test_every_figure_stands_under_its_name_with_its_interval(good, name):
    low, high = good["intervals"][name]

    assert isinstance(at(good, name), float)
    assert low <= high


def test_a_perfect_model_scores_as_the_real_replies_do(good):
    headline = good["headline"]

    assert headline["attribution"]["value"] > 0.95
    assert headline["attribution_cold"]["value"] > 0.95
    assert headline["fit"]["value"] > 0.9
    assert headline["fit_markov"] < 0.5
    assert headline["right_voice_absent"] == headline["right_voice_no_context"] == 1.0
    assert 0.3 < headline["auc_with_context"] < 0.7
    assert headline["messages_per_turn"] == headline["messages_per_turn_real"]
    assert headline["personal_data"] == 0
    assert headline["bags"] == min(
        sum(len(a.messages) for a in evidence().arms["generated"] if a.asked.voice == v) // 10
        for v in VOICES
    )
    assert good["copied"]["generated"] < 0.3 < good["copied"]["nearest"]
    assert good["habits"]["distance"]["generated"] < good["habits"]["distance"]["others"]
    assert headline["judge_source"] == "reserved"
    assert headline["attribution_shuffled"] < 0.1
    assert headline["judge_accuracy_real"]["value"] > 0.95
    assert set(headline["voices"]) == set(VOICES)
    assert headline["worst"]["value"] > 0.9


def test_only_a_model_that_writes_as_its_people_do_sounds_like_them(good, swapped):
    def way_of(voice):
        return next_voice(voice) if voice == VOICES[0] else voice

    arms = {"generated": answers(turns(40, 2, sessions=10), 4, way_of)}
    partly = compute_scorecard(evidence(arms=arms), seed=0)

    found = [judge_likeness(card | {"passes": 1.0}) for card in (good, partly, swapped)]

    assert found == ["alike", "beginning", "unlike"]


def test_a_bad_models_figures_say_so(good):
    def leak(asked, seed):
        spoken = answers(asked, seed, next_voice)
        return tuple(Answer(a.asked, ("my number is +351 912 345 678",)) for a in spoken)

    bad = compute_scorecard(evidence(leak), seed=0)

    assert bad["headline"]["attribution"]["value"] < 0.6
    assert bad["headline"]["fit"]["value"] < 0.3
    assert bad["personal_data"] > 200
    assert bad["headline"]["auc_with_context"] > 0.95
    assert bad["style"]["generated"]["one_message"] == 1 > bad["style"]["real"]["one_message"]
    assert bad["habits"]["distance"]["generated"] > good["habits"]["distance"]["generated"]


def test_speaking_as_somebody_else_is_not_attributed_to_the_voice(swapped):
    headline = swapped["headline"]

    assert headline["attribution"]["value"] < 0.05
    assert headline["fit"]["value"] > 0.5 > headline["fit_markov"]


def test_canaries_are_told_where_they_were_planted(good):
    planted = ("the code word of Ambrose is acorn amber lemon",)
    said = evidence().arms["cold"]
    arms = {"cold": (Answer(said[0].asked, planted), *said[1:])}

    told = compute_scorecard(evidence(arms=arms, canaries=planted, exposures=(6.0,)), seed=0)

    assert told["canaries"] == {
        "planted": 1, "said": 1, "exposure_mean": 6.0, "exposure_most": 6.0,
    }  # fmt: skip
    assert good["canaries"]["planted"] == 0


def test_the_same_evidence_gives_the_same_card_and_no_words_of_anybody(good):
    written = json.dumps(compute_scorecard(evidence(), seed=0), ensure_ascii=False)

    assert written == json.dumps(good, ensure_ascii=False)
    assert not any(word in written for word in ("woof", "friday", "language model"))


def test_a_quick_card_has_no_cold_replies():
    made = evidence()
    arms = {arm: own for arm, own in made.arms.items() if arm != "cold"}

    card = compute_scorecard(replace(made, arms=arms), seed=0)
    card |= {"quick": True, "held_out": "test", "passes": 1.0}
    shown = io.StringIO()
    print_scorecard(card, Console(file=shown, width=80, highlight=False, markup=False))

    assert "attribution_cold" not in card["headline"]
    assert card["headline"]["attribution"]["value"] > 0.95
    assert "cold" not in shown.getvalue()
    assert "Markov chain" in shown.getvalue()
