"""Measure how often turns of `/simulate about SUBJECT` mention the subject.

Run from the repository root: `python -m benchmarks.subjects ARTIFACT|smollm2 [RUNS_PER_SUBJECT]`.
A turn mentions the subject if it has one of the subject's words. An untuned base is enough, with
one candidate per reply.
"""

import random
import sys
import tempfile
from collections import Counter
from pathlib import Path

from model.artifacts.artifact import Artifact, Card, Decoding, load_artifact, save_card
from model.chat.conversation import Window
from model.chat.person import Person
from model.chat.roster import Roster
from model.chat.words import split_words
from model.errors import VoiceError
from model.speaking.speaker import Speaker, open_speaker
from pipeline.training.bases import open_base
from pipeline.training.convert import convert
from pipeline.training.encoding import encode

NAMES = ("Hugo", "Ana", "Tiago")
BEFORE = ("Ana: did you see my keys anywhere?", "Hugo: no, look under the sofa", "Ana: found them")
SUBJECTS = {
    "the trip to Spain": "trip spain travel madrid barcelona flight hotel beach",
    "beer": "beer beers drink drinks bar pub pint drunk",
    "football": "football match game team goal play player ball",
    "pizza": "pizza pizzas cheese eat dinner hungry food slice",
    "the exam": "exam exams test study studying grade grades pass class",
    "my birthday": "birthday party cake gift present presents",
}
WAYS = {
    "nothing": None,
    "the words": "{}",
    "what about …?": "what about {}?",
    "let's talk about …": "let's talk about {}",
}
TURNS = 2
QUICK = Decoding(candidates=1, max_new_tokens=24)


def main() -> None:
    """Print, for each way, the share of first and second turns on the subject."""
    name, *more = sys.argv[1:]
    talks = int(more[0]) if more else 3
    with tempfile.TemporaryDirectory() as folder:
        artifact = untuned(Path(folder)) if name == "smollm2" else load_artifact(Path(name))
        speaker = open_speaker(artifact, device="cpu", seed=1, decoding=QUICK)
        for way, form in WAYS.items():
            found = Counter()
            for subject, words in SUBJECTS.items():
                for _ in range(talks):
                    asked = [f"Tiago: {form.format(subject)}"] if form else []
                    found.update(on_subject(speaker, [*BEFORE, *asked], set(words.split())))
            asked_of = talks * len(SUBJECTS)
            shares = "  ".join(f"{found[turn] / asked_of:.2f}" for turn in range(TURNS))
            print(f"{way:20} {shares}  n {asked_of}", flush=True)  # noqa: T201  a table


def on_subject(speaker: Speaker, context: list[str], words: set[str]) -> list[int]:
    """Return which turns of a talk have one of the words."""
    turns = []
    for turn in range(TURNS):
        voice = random.choice(NAMES[:2])
        try:
            said = speaker.reply(context, voice)
        except VoiceError:
            continue
        if words & set(split_words(" ".join(said))):
            turns.append(turn)
        context += [f"{voice}: {message}" for message in said]
    return turns


def untuned(folder: Path) -> Artifact:
    """Return SmolLM2 as it comes, as an artifact."""
    base = open_base("smollm2", folder, [])
    example = encode(base.codec, "Hugo", BEFORE, ("me too",), (384, 32))
    (folder / "made").mkdir()
    convert(base, folder / "made" / "engine", [example])
    base.codec.save(folder / "made" / "tokenizer.json")
    people = tuple(Person(name, (n,), imitate="yes") for n, name in enumerate(NAMES, 1))
    card = Card(base.name, base.family, Roster(people), (), Window(), 384)
    save_card(card, folder / "made")
    return load_artifact(folder / "made")


if __name__ == "__main__":
    main()
