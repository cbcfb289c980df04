"""Artifacts without weights, for tests of the card, the loader and the registry."""

from model.artifacts.artifact import Card, LearnedChat, save_card
from model.chat.conversation import Window
from model.chat.person import Person
from model.chat.roster import Roster

ROSTER = Roster(
    (
        Person("João", (7,), names=("João Silva",), aliases=("jb",), imitate="yes"),
        Person("李雷", (8,)),
    ),
    bots=frozenset({5}),
    understudies=frozenset({6}),
)


def card(**more):
    options = {
        "base": "tiny",
        "family": "encoder-decoder",
        "roster": ROSTER,
        "chats": (LearnedChat(-5, "Friends"),),
        "window": Window(),
        "max_prompt_tokens": 128,
    }
    return Card(**{**options, **more})


def make(folder, words="weights", **more):
    """Write an artifact's files into a new folder and return it."""
    (folder / "engine").mkdir(parents=True)
    (folder / "engine" / "model.bin").write_text(words)
    (folder / "tokenizer.json").write_text("{}")
    save_card(card(**more), folder)
    return folder
