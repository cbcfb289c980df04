"""Neither of the headline's pair can be won by nonsense: attribution and fit on the demo chat."""

import math
from collections import Counter

import pytest

from model.chat.prompt import split_line
from pipeline.dataset.build import build
from pipeline.dataset.pairs import BuildOptions, sample_evenly
from pipeline.dataset.sample import JUDGE_FILE, NAMES, write_sample
from pipeline.dataset.storage import load_dataset
from pipeline.evaluation.attribution import judge_lines, measure_attribution, shuffle_names
from pipeline.evaluation.baselines import answer_by_markov_chain, answer_by_nearest_context
from pipeline.evaluation.fit import CANDIDATES, make_questions, measure_fit, rank_candidates
from pipeline.evaluation.heldout import (
    Answer,
    HeldOutTurn,
    list_lines,
    make_real_answers,
    make_turns,
    take_turns,
)
from pipeline.evaluation.judge import read_judge_turns, train_judge
from pipeline.evaluation.text_metrics import split_words
from pipeline.training.bases import open_base
from pipeline.training.scorer import Score, score_replies
from tests.pipeline.evaluation.people import answers, score_by_words, turns

pytestmark = pytest.mark.usefixtures("_few_draws")

ASKED = 50
"""Turns of each voice."""


class WordScorer:
    """A tiny language model: word frequencies of a chat, and the words of the context."""

    def __init__(self, training):
        said = (word for turn in training for text in turn.messages for word in split_words(text))
        self.counts = Counter(said)
        self.total = self.counts.total()

    def __call__(self, requests):
        return [
            [self._score(self._read(request.context), messages) for _, messages in request.replies]
            for request in requests
        ]

    def _read(self, context):
        return Counter(word for line in context for word in split_words(split_line(line)[1]))

    def _score(self, seen, messages):
        words = [word for text in messages for word in split_words(text)]
        nats = 0.0
        for word in words:
            probability = (self.counts[word] + 0.5) / (self.total + 10_000)
            if seen:
                probability = 0.9 * probability + 0.1 * seen[word] / seen.total()
            nats += math.log(probability)
        return Score(nats, max(1, len(words)), sum(map(len, messages)))


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The demo chat: validation turns, training turns, and what the judge learns from."""
    folder = tmp_path_factory.mktemp("demo")
    write_sample(folder / "export")
    build([folder / "export"], folder / "dataset", BuildOptions(public=True))
    dataset = load_dataset(folder / "dataset")
    elsewhere = read_judge_turns(folder / "export" / JUDGE_FILE, NAMES)
    asked = make_turns(sample_evenly(dataset.validation, ASKED, 0))
    return asked, make_turns(dataset.train), elsewhere


def measure_arms(demo, score):
    """Return attribution and fit of real replies and of both baselines."""
    asked, training, judged = demo
    arms = {
        "real": make_real_answers(asked),
        "markov": answer_by_markov_chain(training, asked, 0),
        "nearest": answer_by_nearest_context(training, asked),
    }
    pool = [turn for turn in judged if turn.session % 5 == 0]
    rest = take_turns((turn for turn in judged if turn.session % 5), 1_500)
    judge = train_judge(list_lines(make_real_answers(rest)))
    lines = {arm: judge_lines(judge, list_lines(own)) for arm, own in arms.items()}
    lines["shuffled"] = shuffle_names(lines["real"])
    whose = measure_attribution(lines, judge.voices, "real", 10, 0)
    return whose, measure_fit(rank_candidates(make_questions(arms, pool, 0), score), "real", 0)


def passes(arm, whose, fits):
    """Whether an arm reaches most of what real replies reach in both of the pair."""
    return min(whose[arm].relative.value, fits[arm].relative.value) > 0.7


def check_pair(whose, fits):
    assert whose["real"].named.value > 0.75  # chance is 0.2
    assert whose["shuffled"].relative.value < 0.2
    assert fits["real"].recall.value > 0.25  # chance is 0.1
    assert passes("real", whose, fits)
    assert whose["markov"].relative.value > 0.7  # its words are the friend's own
    assert not passes("markov", whose, fits)
    assert not passes("nearest", whose, fits)
    assert fits["markov"].relative.value < 0.45


def test_markov_chain_and_nearest_neighbour_fail_the_pair_on_the_demo_chat(demo):
    check_pair(*measure_arms(demo, WordScorer(demo[1])))


@pytest.mark.soak
def test_they_fail_it_with_smollm2_too(demo, tmp_path):
    base = open_base("smollm2", tmp_path, [])

    check_pair(*measure_arms(demo, lambda requests: score_replies(base, requests, 384)))


def test_replies_to_the_subject_fit_and_others_do_not():
    asked = turns(40, 1, sessions=10)
    later = [*asked[3:], *asked[:3]]
    shifted = [Answer(turn, other.messages) for turn, other in zip(asked, later, strict=True)]
    arms = {"real": make_real_answers(asked), "model": answers(asked, 2), "shifted": shifted}

    fits = measure_fit(
        rank_candidates(make_questions(arms, turns(60, 9), 0), score_by_words), "real", 0
    )

    assert fits["real"].recall.value > 0.3
    assert fits["model"].relative.value > 0.8
    assert fits["shifted"].relative.value < 0.3
    assert fits["real"].relative.low == fits["real"].relative.high == 1


def test_distractors_have_the_length_of_the_reply_and_are_not_the_reply():
    asked = [HeldOutTurn("Hugo", ("Tiago: hi",), ("yes",), session=1)]
    pool = [HeldOutTurn("Hugo", (), (text,)) for n in range(1, 60) for text in ("Yes", "w" * n)]
    arms = {"real": make_real_answers(asked), "long": [Answer(asked[0], ("w" * 50 + "!",))]}

    (question,) = make_questions(arms, [*pool, HeldOutTurn("Tiago", (), ("no",))], 0)

    for arm, limit in (("real", 21), ("long", 21)):
        reply, *others = question.candidates[arm]
        assert len(others) == CANDIDATES - 1
        assert ("Yes",) not in others or arm == "long"
        assert all(abs(len(one[0]) - len(reply[0])) <= limit for one in others)


def test_a_speechless_answer_never_fits():
    asked = turns(10, 1)
    arms = {"real": make_real_answers(asked), "mute": [Answer(turn, ()) for turn in asked]}

    fits = measure_fit(
        rank_candidates(make_questions(arms, turns(30, 9), 0), score_by_words), "real", 0
    )

    assert fits["mute"].recall.value == 0
