"""Each metric of an evaluation with data that must give a high and a low value."""

import random

import pytest

from model.speaking.voice_classifier import LINE_HABITS, measure_habits
from pipeline.evaluation.baselines import answer_by_markov_chain, answer_by_nearest_context
from pipeline.evaluation.fit import make_questions, rank_candidates
from pipeline.evaluation.habits import (
    BURST,
    find_bland_lines,
    measure_habit_distance,
    measure_style,
)
from pipeline.evaluation.heldout import (
    Answer,
    HeldOutLine,
    HeldOutTurn,
    list_lines,
    make_real_answers,
    silence_voice,
    take_turns,
)
from pipeline.evaluation.intervals import mean, ratio
from pipeline.evaluation.memorization import (
    compute_exposure,
    count_private_lines,
    count_spoken_canaries,
    index_runs,
    measure_copies,
)
from pipeline.evaluation.realism import measure_realism
from pipeline.evaluation.text_metrics import measure_diversity, measure_overlap, measure_self_bleu
from tests.pipeline.evaluation.people import VOICES, answers, score_by_words, turns

ASKED = HeldOutTurn("Hugo", ("Tiago: a?",), ("I would rather walk to the old harbour today 日本",))


def habit(text):
    return dict(zip(LINE_HABITS, measure_habits(text), strict=True))


def test_habits_are_counted_in_a_line():
    loud = habit("HAHAHA no way!! 😂")
    quiet = habit("well, I don't know... maybe")

    assert (loud["emoji"], loud["laughter"], loud["exclamation"], loud["capital_first"]) == (1,) * 4
    assert loud["capitals"] > 0.5 > quiet["capitals"]
    assert (quiet["comma"], quiet["dots"], quiet["apostrophe"], quiet["full_stop"]) == (1, 1, 1, 0)
    assert (quiet["laughter"], quiet["capital_first"], quiet["question"]) == (0, 0, 0)
    assert habit("Ok.")["full_stop"] == 1
    assert quiet["length"] > loud["length"]


def test_habits_are_near_where_they_are_the_same_and_far_where_they_are_not():
    truth = make_real_answers(turns(30, 1))
    shouting = [Answer(a.asked, tuple(m.upper() + "!!!" for m in a.messages) * 3) for a in truth]

    same, other = (
        measure_habit_distance(truth, make_real_answers(turns(30, 2)), 0),
        measure_habit_distance(truth, shouting, 0),
    )

    assert same.mean.value < 0.2
    assert other.mean.value > 1
    assert other.voices["Hugo"][BURST].generated > 2 * other.voices["Hugo"][BURST].real
    assert measure_habit_distance(truth, truth, 0).mean.value == 0


def test_repeating_oneself_is_not_varied():
    words = [f"w{number}" for number in range(300)]
    varied = [" ".join(words[n : n + 6]) for n in range(0, 300, 6)]
    same = ["all of it is the same"] * 50

    high, low = measure_diversity(varied, 300, 0), measure_diversity(same, 300, 0)

    assert high.distinct_1 == high.distinct_2 == 1.0
    assert low.distinct_2 < 0.05
    assert high.self_bleu < 0.05
    assert low.self_bleu > 0.9


def test_one_line_alone_has_no_self_bleu():
    assert measure_self_bleu(["only this"]) == measure_self_bleu(["?!", "only this"]) == 0.0


def test_the_real_words_overlap_wholly_and_others_not_at_all():
    whole = measure_overlap([Answer(ASKED, ASKED.messages)] * 3, 0)
    none = measure_overlap([Answer(ASKED, ("zzz qqq",))] * 3, 0)

    assert whole.chrf.value == pytest.approx(100)
    assert all(each.value == pytest.approx(1) for each in whole.rouge.values())
    assert none.chrf.value < 5
    assert all(each.value == 0 for each in none.rouge.values())


def test_rouge_reads_every_script():
    turn = HeldOutTurn("李雷", (), ("日本 não",))

    found = measure_overlap([Answer(turn, ("日本 não",))], 0)

    assert found.rouge["rougeL"].value == 1.0


def test_a_speechless_answer_overlaps_with_nothing():
    assert measure_overlap([Answer(ASKED, ())], 0).rouge["rouge1"].value == 0


KEPT = "the old lighthouse keeper never told anybody where he hid it"


@pytest.mark.parametrize(
    ("line", "share"),
    [
        (KEPT, 1.0),
        (KEPT.upper() + "!", 1.0),
        ("he said old lighthouse keeper never told anybody", 1.0),
        ("the old lighthouse keeper never spoke of it", 0.0),
        ("me too", 0.0),
        ("who is at home today then", 1.0),
        ("who is at home today", 0.0),
    ],
    ids=["whole", "shouted", "six words", "five words", "everyday", "context", "a short line"],
)
def test_what_training_holds_is_a_copy(line, share):
    training = [HeldOutTurn("Hugo", ("Tiago: who is at home today then",), (KEPT, "me too"))]

    assert measure_copies(index_runs(training), [HeldOutLine("Hugo", line)], 0).value == share


def test_private_lines_are_counted():
    said = ["call me at +351 912 345 678", "see you at 8", "it is a.b@example.com"]

    assert count_private_lines(said) == 2
    assert count_private_lines(["see you at 8", "12 of us"]) == 0


def test_a_canary_that_was_learned_is_exposed_and_one_that_was_not_is_not():
    others = [float(nats) for nats in range(20, 83)]

    assert compute_exposure(5.0, others) == 6.0
    assert compute_exposure(100.0, others) == 0.0
    assert 0.9 < compute_exposure(51.0, others) < 1.1


def test_a_canary_is_found_in_what_is_said():
    canaries = ["the code word of Ambrose is acorn amber", "the code word of Cosima is lemon"]

    assert count_spoken_canaries(canaries, ["Ok: The code word of Ambrose is acorn, amber!"]) == 1
    assert count_spoken_canaries(canaries, ["the code word of Ambrose is acorn"]) == 0


def ranked(asked, **arms):
    """Rank the real replies to turns and those of an arm."""
    real = make_real_answers(asked)
    return rank_candidates(make_questions({"real": real, **arms}, turns(30, 9), 0), score_by_words)


def test_replies_unlike_real_ones_are_told_and_replies_like_them_are_not():
    asked = turns(60, 1, sessions=10)
    unlike = [Answer(turn, ("As an AI language model, I cannot say.",)) for turn in asked]

    found = ranked(asked, alike=answers(asked, 3), unlike=unlike)

    assert 0.35 < measure_realism(found["real"], found["alike"], 0).value < 0.65
    assert measure_realism(found["real"], found["unlike"], 0).value > 0.98


def test_real_replies_to_other_turns_are_told_by_their_context():
    asked = turns(80, 1, sessions=10)
    later = [*asked[len(VOICES) :], *asked[: len(VOICES)]]
    shifted = [Answer(turn, other.messages) for turn, other in zip(asked, later, strict=True)]

    found = ranked(asked, shifted=shifted)

    assert measure_realism(found["real"], found["shifted"], 0).value > 0.8


def test_too_few_conversations_tell_nothing():
    found = ranked(turns(9, 1, sessions=2), other=answers(turns(9, 1, sessions=2), 1))

    told = measure_realism(found["real"], found["other"], 0)

    assert (told.value, told.low, told.high) == (0.5, 0.0, 1.0)


def test_style_counts_bursts_questions_and_bland_lines():
    said = [
        Answer(ASKED, ("yeah", "what about you?")),
        Answer(ASKED, ("I was at the harbour",)),
        Answer(ASKED, ()),
    ]
    training = [
        HeldOutTurn("Hugo", (), (text,)) for n in range(20) for text in ("Yeah!", f"other {n}")
    ]

    found = measure_style(said, list_lines(said), find_bland_lines(training), 0)

    assert found.messages_per_turn.value == 1.5
    assert found.one_message.value == 0.5
    assert found.questions.value == found.bland.value == pytest.approx(1 / 3)
    assert found.characters.value == pytest.approx((4 + 15 + 20) / 3)


def test_a_cold_context_has_no_line_of_the_voice():
    turn = HeldOutTurn("Hugo", ("Hugo: hi", "Tiago: Hugo: hello", "[…]"), ("x",))

    assert silence_voice(turn).context == ("Tiago: Hugo: hello", "[…]")
    assert silence_voice(HeldOutTurn("Hugo", ("Hugo: hi",), ("x",))) is None


def test_each_voices_first_turns_are_taken():
    asked = turns(40, 1)

    assert take_turns(asked, 7) == asked[: 7 * len(VOICES)]


def test_the_chain_says_only_the_person_s_own_words():
    training = turns(30, 1)
    own = {w for t in training if t.voice == "Hugo" for m in t.messages for w in m.split()}

    said = [a for a in answer_by_markov_chain(training, turns(20, 2), 0) if a.asked.voice == "Hugo"]

    assert {word for a in said for m in a.messages for word in m.split()} <= own
    assert all(answer.messages for answer in said)
    assert answer_by_markov_chain(training, turns(5, 2), 0) == answer_by_markov_chain(
        training, turns(5, 2), 0
    )


def test_the_copier_repeats_the_person_s_answer_to_the_most_similar_lines():
    training = [
        HeldOutTurn("Hugo", ("Tiago: shall we eat pizza?",), ("always hungry",)),
        HeldOutTurn("Hugo", ("Tiago: how was the match?",), ("we lost",)),
        HeldOutTurn("Tiago", ("Hugo: shall we eat pizza?",), ("not me",)),
    ]
    asked = [
        HeldOutTurn("Hugo", ("Raul: who would eat a pizza",), ("?",)),
        HeldOutTurn("Tiago", (), ("?",)),
    ]

    assert [a.messages for a in answer_by_nearest_context(training, asked)] == [
        ("always hungry",),
        ("not me",),
    ]


def test_an_interval_holds_the_truth_and_narrows_with_more_values():
    chance = random.Random(0)
    few, many = ([float(chance.random() < 0.3) for _ in range(n)] for n in (30, 3000))

    wide, narrow = (mean(one, range(len(one)), 0) for one in (few, many))

    assert narrow.low < 0.3 < narrow.high
    assert wide.high - wide.low > 4 * (narrow.high - narrow.low)
    assert mean([], [], 0).value == 0
    assert ratio([1.0, 3.0], [2.0, 2.0], [0, 1], 0).value == 1.0
