"""Which of several candidates is spoken, with an engine whose candidates are given."""

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
    """Says what it was given, round by round.

    A candidate's own score is what `here` says of its text; a text's score without the context is
    what `alone` says of its name and text. `who` are the scores of who speaks next.
    """

    def __init__(self, *rounds, here=None, alone=None, who=()):
        self.rounds = deque(rounds)
        self.here = here or {}
        self.alone = alone or {}
        self.who = who
        self.scored = []

    def candidates(self, prompt, forced, decoding, should_stop=None):
        texts = self.rounds.popleft() if self.rounds else []
        return [
            Candidate(CODEC.reply_ids("Hugo", f" {text}")[1], self.here.get(text, 0.0))
            for text in texts
        ]

    def scores(self, prompts, forced, replies):
        self.scored.append(len(replies))
        names = ["Hugo" if f == HUGO else "Raul" for f in forced]
        texts = [CODEC.reply_text("Hugo", ids).strip() for ids in replies]
        return [[self.alone.get(asked, 0.0)] for asked in zip(names, texts, strict=True)]

    def label_scores(self, prompt, labels):
        return list(self.who) or [0.0] * len(labels)


def speaker_of(*rounds, copy_index=None, engine=None, **decoding):
    card = SimpleNamespace(max_prompt_tokens=LIMIT, learned=("Hugo", "Raul"))
    settings = Decoding(**{"max_new_tokens": LIMIT, **decoding})
    return Speaker(
        SimpleNamespace(card=card), engine or FakeEngine(*rounds), CODEC, settings,
        random.Random(0), copy_index,
    )  # fmt: skip


def test_the_reply_that_the_context_makes_likelier_is_spoken():
    engine = FakeEngine(["me too", "friday"], here={"me too": -9.0, "friday": -5.0})

    assert speaker_of(engine=engine).reply(CONTEXT, "Hugo") == ("friday",)


def test_a_voice_that_goes_on_under_its_own_name_says_several_messages():
    speaker = speaker_of(["me too\nHugo: see you later\nfriday?\nRaul: fine\nHugo: no"])

    assert speaker.reply(CONTEXT, "Hugo") == ("me too", "see you later", "friday?")


def test_what_this_voice_says_is_preferred_to_what_everybody_does():
    alone = {("Hugo", "me too"): -2, ("Raul", "me too"): -2,
             ("Hugo", "friday"): -5, ("Raul", "friday"): -9}  # fmt: skip
    engine = FakeEngine(["me too", "friday"], alone=alone)

    speaker = speaker_of(engine=engine, context_weight=0.0)

    assert speaker.reply(CONTEXT, "Hugo") == ("friday",)


def test_a_weight_of_none_takes_no_notice_of_the_voice():
    engine = FakeEngine(
        ["me too", "friday"],
        here={"me too": -1.0, "friday": -2.0},
        alone={("Raul", "friday"): -50.0},
    )

    speaker = speaker_of(engine=engine, voice_weight=0.0)

    assert speaker.reply(CONTEXT, "Hugo") == ("me too",)


def test_a_lone_candidate_is_spoken_unranked():
    speaker = speaker_of(["me too"], candidates=1)

    assert speaker.reply(CONTEXT, "Hugo") == ("me too",)
    assert speaker.engine.scored == []


def test_all_replies_and_names_are_scored_in_one_call():
    speaker = speaker_of(["me too", "friday", "see you"])

    speaker.reply(CONTEXT, "Hugo")

    assert speaker.engine.scored == [3 * 2]


@pytest.mark.parametrize(
    "unwanted",
    ["[photo]", "ok […] fine", "see [1]", " ", "shall we go to the cinema?",
     "Shall WE go, to the cinema",
     "HELLO", "I am here and I am here and I am here", "me too\nMe too!", "Tiago: fine",
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

    assert speaker_of(engine=engine).reply(context, "Hugo") == ("see you later",)


def test_what_was_never_sayable_is_not_said_for_want_of_another():
    speaker = speaker_of(*[["hello"]] * 3)

    with pytest.raises(VoiceError, match="nothing to say"):
        speaker.reply(CONTEXT, "Hugo")


def test_a_single_candidate_a_try_gets_more_tries():
    speaker = speaker_of(*[["hello"]] * 7, ["fine"], candidates=1)

    assert speaker.reply(CONTEXT, "Hugo") == ("fine",)


def test_a_training_message_is_not_said_again(tmp_path):
    write_index(tmp_path / "lines", [("Raul", "I do not know yet")], bytes(SALT_BYTES))
    engine = FakeEngine(["i do not know yet!", "see you"], here={"i do not know yet!": 9.0})

    speaker = speaker_of(engine=engine, copy_index=open_index(tmp_path / "lines"))

    assert speaker.reply(CONTEXT, "Hugo") == ("see you",)


def test_rejected_candidates_are_counted_by_reason(tmp_path):
    write_index(tmp_path / "lines", [("Raul", "I do not know yet")], bytes(SALT_BYTES))
    first = ["[photo]", " ", "hello", "Tiago: fine", "write to hugo@example.com"]
    second = ["i do not know yet", "see you", "see you", "so \ufffd", "HELLO"]
    speaker = speaker_of(first, second, ["fine"], copy_index=open_index(tmp_path / "lines"))

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


def test_a_short_everyday_line_may_come_again():
    speaker = speaker_of(["me too"])

    assert speaker.reply(("Hugo: me too", "Raul: fine"), "Hugo") == ("me too",)


def test_an_emoji_is_not_answered_by_the_same():
    speaker = speaker_of(["😂"], ["fine"])

    assert speaker.reply(("Raul: 😂",), "Hugo") == ("fine",)


def test_what_the_model_lets_somebody_else_say_is_cut():
    speaker = speaker_of(["me too\nRaul: fine, thanks!"])

    assert speaker.reply(CONTEXT, "Hugo") == ("me too",)


def test_a_reply_that_is_only_somebody_else_is_passed_over():
    other = "\n\nTiago: fine"
    most = len(CODEC.reply_ids("Hugo", f" {other}")[1])
    speaker = speaker_of([other], ["see you"], max_new_tokens=most)

    assert speaker.reply(CONTEXT, "Hugo") == ("see you",)


def test_a_reply_that_the_limit_cut_loses_its_unfinished_sentence():
    text = "see you later. how are you today and"
    speaker = speaker_of([text], max_new_tokens=len(CODEC.reply_ids("Hugo", f" {text}")[1]))

    assert speaker.reply(CONTEXT, "Hugo") == ("see you later.",)


def test_a_turn_of_several_messages_stays_several():
    speaker = speaker_of(["hello there\nhow are you?"])

    assert speaker.reply(CONTEXT, "Hugo") == ("hello there", "how are you?")


def test_nothing_sayable_is_said_so():
    speaker = speaker_of(["[photo]"], [" "], ["[…]"])

    with pytest.raises(VoiceError, match="nothing to say"):
        speaker.reply(CONTEXT, "Hugo")


def test_a_speechless_voice_lets_another_take_the_turn():
    speaker = speaker_of(["[photo]"], [], [], ["fine, thanks!"])

    voice, messages = speaker.turn(CONTEXT, ["Hugo", "Raul"])

    assert voice in {"Hugo", "Raul"}
    assert messages == ("fine, thanks!",)


def test_with_nobody_who_may_speak_there_is_no_turn():
    with pytest.raises(VoiceError, match="nobody may speak"):
        speaker_of().turn(CONTEXT, [])
