"""The choice among several candidates, with an engine that returns given candidates."""

import random
from collections import deque
from types import SimpleNamespace

import pytest

from model.artifacts.artifact import Decoding
from model.artifacts.tokenizer import extend_unigram, make_codec
from model.errors import VoiceError
from model.speaking.copy_index import SALT_BYTES, open_index, write_index
from model.speaking.engine import Candidate
from model.speaking.speaker import Speaker
from tests.checkpoints import t5_tokenizer

CONTEXT = ("Hugo: shall we go to the cinema?", "Raul: hello")
CODEC = make_codec(extend_unigram(t5_tokenizer([]), []), end_id=1, pad_id=0)
LIMIT = 400
HUGO, RAUL = CODEC.label_ids("Hugo"), CODEC.label_ids("Raul")


class FakeEngine:
    """Returns given candidates, round by round.

    `here` has a candidate's own score by text, `alone` the score without context by name and text,
    `who` the scores of the next speakers.
    """

    def __init__(self, *rounds, here=None, alone=None, who=()):
        self.rounds = deque(rounds)
        self.here = here or {}
        self.alone = alone or {}
        self.who = who
        self.scored = []

    def candidates(self, requests, decoding, should_stop=None):
        texts = self.rounds.popleft() if self.rounds else []
        return [[self.candidate(text, decoding.max_new_tokens) for text in texts] for _ in requests]

    def candidate(self, text, limit):
        first, *rest = text.split("\n")
        ids = CODEC.reply_ids("Hugo", [first]).ids
        for line in rest:
            ids += [CODEC.newline_id, *CODEC.line_ids(line)]
        return Candidate(ids[:limit], [self.here.get(text, 0.0)], len(ids) < limit)

    def scores(self, prompt, forced, replies):
        if not forced:  # who speaks next?
            return [[score] for score in self.who or [0.0] * len(replies)]
        self.scored.append(len(replies))
        name = "Hugo" if forced == HUGO else "Raul"
        texts = [CODEC.reply_text("Hugo", ids).strip() for ids in replies]
        return [[self.alone.get((name, text), 0.0)] for text in texts]


def make_speaker(*rounds, copy_index=None, engine=None, table=None, **decoding):
    card = SimpleNamespace(max_prompt_tokens=LIMIT, learned=("Hugo", "Raul"))
    settings = Decoding(**{"max_new_tokens": LIMIT, **decoding})
    return Speaker(
        SimpleNamespace(card=card), engine or FakeEngine(*rounds), CODEC, settings,
        random.Random(0), copy_index, table,
    )  # fmt: skip


def test_the_reply_that_the_context_makes_likelier_is_chosen():
    engine = FakeEngine(["me too", "friday"], here={"me too": -9.0, "friday": -5.0})

    assert make_speaker(engine=engine).reply(CONTEXT, "Hugo") == ("friday",)


def test_own_labels_in_a_reply_separate_messages():
    speaker = make_speaker(["me too\nHugo: see you later\nHugo: friday?\nRaul: fine\nHugo: no"])

    assert speaker.reply(CONTEXT, "Hugo") == ("me too", "see you later", "friday?")


class FakeTable:
    """Has the log-odds of given texts, and one usual number of messages."""

    def __init__(self, odds=None, usual=None):
        self.odds, self.usual = odds or {}, usual

    def log_odds(self, messages, name):
        return self.odds.get((name, *messages), 0.0)

    def log_length(self, messages, name):
        return 0.0 if self.usual in {None, len(messages)} else -5.0


def test_a_reply_typical_of_the_voice_is_preferred():
    table = FakeTable({("Hugo", "friday"): 2.0, ("Raul", "me too"): 9.0})

    speaker = make_speaker(["me too", "friday"], table=table, context_weight=0.0)

    assert speaker.reply(CONTEXT, "Hugo") == ("friday",)


def test_a_weight_of_zero_ignores_the_voice():
    engine = FakeEngine(["me too", "friday"], here={"me too": -1.0, "friday": -2.0})
    table = FakeTable({("Hugo", "friday"): 50.0})

    speaker = make_speaker(engine=engine, table=table, voice_weight=0.0)

    assert speaker.reply(CONTEXT, "Hugo") == ("me too",)


@pytest.mark.parametrize(("usual", "wanted"), [(1, ("me too",)), (2, ("see you later", "friday?"))])
def test_a_reply_as_long_as_the_voices_own_turns_is_preferred(usual, wanted):
    replies = ["see you later\nHugo: friday?", "me too"]
    speaker = make_speaker(replies, table=FakeTable(usual=usual), length_weight=0.25)

    assert speaker.reply(CONTEXT, "Hugo") == wanted


def test_a_single_candidate_is_not_ranked():
    speaker = make_speaker(["me too"], candidates=1)

    assert speaker.reply(CONTEXT, "Hugo") == ("me too",)
    assert speaker.engine.scored == []


def test_all_replies_are_scored_in_one_call():
    speaker = make_speaker(["me too", "friday", "see you"])

    speaker.reply(CONTEXT, "Hugo")

    assert speaker.engine.scored == [3]


@pytest.mark.parametrize(
    "unwanted",
    ["[photo]", "ok […] fine", "see [1]", " ", "shall we go to the cinema?",
     "Shall WE go, to the cinema",
     "HELLO", "I am here and I am here and I am here", "me too\nHugo: Me too!", "Tiago: fine",
     "fine. raul: me too",
     "fineRaul: me too", "write to hugo@example.com", "so \ufffd"],
    ids=["a bracketed word", "a withheld turn", "a bracket", "nothing", "what was said before",
         "what was said before in other clothes", "what was said last", "words in circles",
         "the same again", "somebody else's line", "somebody else's words",
         "somebody else's glued on",
         "private data",
         "a piece of a character"],
)  # fmt: skip
def test_another_candidate_is_preferred_to(unwanted):
    engine = FakeEngine([unwanted], [unwanted, "see you later"], here={unwanted: 9.0})
    context = ("Tiago: and you?", *CONTEXT)

    assert make_speaker(engine=engine).reply(context, "Hugo") == ("see you later",)


def test_a_rejected_candidate_is_never_used_as_a_fallback():
    speaker = make_speaker(*[["hello"]] * 3)

    with pytest.raises(VoiceError, match="nothing to say"):
        speaker.reply(CONTEXT, "Hugo")


def test_one_candidate_per_try_gets_more_tries():
    speaker = make_speaker(*[["hello"]] * 7, ["fine"], candidates=1)

    assert speaker.reply(CONTEXT, "Hugo") == ("fine",)


def test_a_training_message_is_not_repeated(tmp_path):
    write_index(tmp_path / "lines", [("Raul", "I do not know yet")], bytes(SALT_BYTES))
    engine = FakeEngine(["i do not know yet!", "see you"], here={"i do not know yet!": 9.0})

    speaker = make_speaker(engine=engine, copy_index=open_index(tmp_path / "lines"))

    assert speaker.reply(CONTEXT, "Hugo") == ("see you",)


def test_rejected_candidates_are_counted_by_reason(tmp_path):
    write_index(tmp_path / "lines", [("Raul", "I do not know yet")], bytes(SALT_BYTES))
    first = ["[photo]", " ", "hello", "Tiago: fine", "write to hugo@example.com"]
    second = ["i do not know yet", "see you", "see you", "so \ufffd", "HELLO"]
    speaker = make_speaker(first, second, ["fine"], copy_index=open_index(tmp_path / "lines"))

    speaker.reply(("Tiago: and you?", *CONTEXT), "Hugo")
    counted = dict(speaker.rejected)
    speaker.reply((), "Hugo")

    assert counted == {
        "brackets": 1,
        "empty": 1,
        "repeats": 2,
        "label": 1,
        "private": 1,
        "copied": 1,
        "damaged": 1,
    }
    assert not speaker.rejected


def test_a_single_word_may_be_repeated():
    speaker = make_speaker(["yeah"])

    assert speaker.reply(("Hugo: yeah", "Raul: fine"), "Hugo") == ("yeah",)


def test_a_line_of_several_words_is_not_repeated_after_others():
    speaker = make_speaker(["me too"], ["fine"])
    context = ("Raul: Me too!", "Tiago: and you?", "Hugo: when?", "Raul: on Friday")

    assert speaker.reply(context, "Hugo") == ("fine",)


def test_an_emoji_is_not_answered_with_the_same_one():
    speaker = make_speaker(["😂"], ["fine"])

    assert speaker.reply(("Raul: 😂",), "Hugo") == ("fine",)


def test_lines_of_other_speakers_in_a_reply_are_cut():
    speaker = make_speaker(["me too\nRaul: fine, thanks!"])

    assert speaker.reply(CONTEXT, "Hugo") == ("me too",)


def test_a_reply_with_only_other_speakers_is_rejected():
    other = "\n\nTiago: fine"
    speaker = make_speaker([other], ["see you"])

    assert speaker.reply(CONTEXT, "Hugo") == ("see you",)


def test_a_reply_cut_by_the_token_limit_loses_its_unfinished_sentence():
    text = "see you later. how are you today and"
    speaker = make_speaker([text], max_new_tokens=len(CODEC.reply_ids("Hugo", [text]).ids))

    assert speaker.reply(CONTEXT, "Hugo") == ("see you later.",)


def test_a_turn_of_several_messages_stays_several():
    speaker = make_speaker(["hello there\nHugo: how are you?"])

    assert speaker.reply(CONTEXT, "Hugo") == ("hello there", "how are you?")


def test_a_voice_without_an_acceptable_candidate_raises_an_error():
    speaker = make_speaker(["[photo]"], [" "], ["[…]"])

    with pytest.raises(VoiceError, match="nothing to say"):
        speaker.reply(CONTEXT, "Hugo")


def test_another_voice_takes_the_turn_of_one_without_a_reply():
    speaker = make_speaker(["[photo]"], [], [], ["fine, thanks!"])

    voice, messages = speaker.turn(CONTEXT, ["Hugo", "Raul"])

    assert voice in {"Hugo", "Raul"}
    assert messages == ("fine, thanks!",)


def test_a_turn_without_voices_is_refused():
    with pytest.raises(VoiceError, match="there is no voice to use"):
        make_speaker().turn(CONTEXT, [])
