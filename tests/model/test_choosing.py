"""Which of several candidates is spoken, with an engine whose candidates are given."""

import random
from collections import deque
from types import SimpleNamespace

import pytest

from model.artifact import Decoding
from model.errors import VoiceError
from model.speaker import Speaker
from model.tokenizer import codec_of, extend_unigram
from tests.checkpoints import t5_tokenizer

CONTEXT = ("Hugo: shall we go to the cinema?", "Raul: hello")
CODEC = codec_of(extend_unigram(t5_tokenizer([]), []), end_id=1, pad_id=0)
LIMIT = 400


class FakeEngine:
    """Says what it was given, round by round; likes a text by what `gains` says of it."""

    def __init__(self, *rounds, gains=None):
        self.rounds = deque(rounds)
        self.gains = gains or {}

    def candidates(self, prompt, forced, decoding):
        texts = self.rounds.popleft() if self.rounds else []
        return [CODEC.reply_ids("Hugo", f" {text}")[1] for text in texts]

    def scores(self, prompts, forced, replies):
        in_context = prompts[0] == CODEC.prompt_ids(CONTEXT, LIMIT)
        texts = [CODEC.reply_text("Hugo", ids).strip() for ids in replies]
        return [[self.gains.get(text, 0.0) if in_context else 0.0] for text in texts]

    def label_scores(self, prompt, labels):
        return [0.0] * len(labels)


def speaker_of(*rounds, gains=None, most=LIMIT):
    artifact = SimpleNamespace(card=SimpleNamespace(max_prompt_tokens=LIMIT))
    engine = FakeEngine(*rounds, gains=gains)
    decoding = Decoding(max_new_tokens=most)
    return Speaker(artifact, engine, CODEC, decoding, random.Random(0))


def test_the_reply_that_the_context_makes_likelier_is_spoken():
    gains = {"me too": 1.0, "friday, I think": 5.0}

    speaker = speaker_of(["me too", "friday, I think"], gains=gains)

    assert speaker.reply(CONTEXT, "Hugo") == ("friday, I think",)


@pytest.mark.parametrize(
    "unwanted",
    ["[photo]", "ok […] fine", " ", "shall we go to the cinema?", "HELLO",
     "I am here and I am here and I am here"],
    ids=["a bracketed word", "a withheld turn", "nothing", "what was said before",
         "what was said last", "words in circles"],
)  # fmt: skip
def test_another_candidate_is_preferred_to(unwanted):
    speaker = speaker_of([unwanted], [unwanted, "see you later"], gains={unwanted: 9.0})

    assert speaker.reply(CONTEXT, "Hugo") == ("see you later",)


def test_a_short_everyday_line_may_come_again():
    speaker = speaker_of(["me too"])

    assert speaker.reply(("Hugo: me too", "Raul: fine"), "Hugo") == ("me too",)


def test_what_the_model_lets_somebody_else_say_is_cut():
    speaker = speaker_of(["me too\nRaul: fine, thanks!"])

    assert speaker.reply(CONTEXT, "Hugo") == ("me too",)


def test_a_reply_that_is_only_somebody_else_is_passed_over():
    other = "\n\nTiago: fine"
    most = len(CODEC.reply_ids("Hugo", f" {other}")[1])
    speaker = speaker_of([other], ["see you"], most=most)

    assert speaker.reply(CONTEXT, "Hugo") == ("see you",)


def test_a_reply_that_the_limit_cut_loses_its_unfinished_sentence():
    text = "see you later. how are you today and"
    speaker = speaker_of([text], most=len(CODEC.reply_ids("Hugo", f" {text}")[1]))

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
