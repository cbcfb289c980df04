"""Who answers whom, learned from an export: a planted habit, and nothing of the withheld."""

import random
from datetime import UTC, datetime, timedelta

import pyarrow.parquet as pq
import pytest

from model.chat.conversation import Message
from model.chat.roster import roster_from_json
from model.joining import FILE_NAME, LEVELS, MAX_JOIN_RATE, LineFacts, read_propensity
from pipeline.dataset.build import build
from pipeline.dataset.storage import LINES, load_dataset
from pipeline.training.joining import MIN_ANSWERS, find_occasions, fit_propensity, save_propensity
from tests.pipeline.chats import chat, entry, small, write

NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)
GAP = timedelta(hours=2)
ANA, RUI, ZE, EVA = 1, 2, 3, 4
NAMES = {ANA: "Ana", RUI: "Rui", ZE: "Zé", EVA: "Eva"}
PEOPLE = "".join(
    f'[[people]]\nname = "{name}"\nids = [{number}]\nimitate = "yes"\nlearn = "{learn}"\n'
    for number, name, learn in [(ANA, "Ana", "yes"), (RUI, "Rui", "yes"), (ZE, "Zé", "yes"),
                                (EVA, "Eva", "no")]
)  # fmt: skip


def habit(*, sessions=60, with_eva=True):
    """Return entries in which Ana always answers Rui at once, and Zé never."""
    chance, entries = random.Random(0), []
    for session in range(sessions):
        for turn in range(6):
            number, at = 100 * session + 10 * turn + 2, session * 3 * 3600 + turn * 600
            who = chance.choice([RUI, ZE])
            entries.append(entry(number, who, f"words {number}", at))
            if with_eva:
                entries.append(entry(number + 1, EVA, "secret words", at + 5))
            if who == RUI:
                entries.append(entry(number + 2, ANA, "words", at + 20, reply_to_message_id=number))
    return entries


def said(by, at, **more):
    return LineFacts(NOON + timedelta(seconds=at), by, **more)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("habit")
    export = write(folder, chat(*habit()))
    (folder / "roster.toml").write_text(PEOPLE, "utf-8")
    build([export], folder / "ds", small())
    return load_dataset(folder / "ds")


@pytest.fixture(scope="module")
def learned(built):
    return fit_propensity(built.conversations()["train"], built.roster)


def chances(learned, built, *spoken):
    """Return the chances after these people spoke, ten minutes apart."""
    messages = [
        Message(-5, n, who, "x", f"words {n}", NOON + timedelta(minutes=10 * n))
        for n, who in enumerate(spoken)
    ]
    return learned.probabilities(messages, built.roster, GAP)


def test_who_always_answers_one_friend_is_likely_after_that_friend_alone(learned, built):
    after_rui = chances(learned, built, ZE, ZE, RUI)
    after_ze = chances(learned, built, RUI, RUI, ZE)

    assert after_rui["Ana"] > 0.9
    assert after_ze["Ana"] < 0.1


def test_who_never_answers_anybody_never_joins(learned, built):
    assert chances(learned, built, RUI, ANA)["Zé"] == 0
    assert "Zé" not in learned.voices


@pytest.mark.parametrize(
    "called",
    [{"named": ("Ana",)}, {"to": "Ana"}, {"question": True}],
    ids=["named", "replied to", "asked"],
)
def test_who_answers_only_when_called_is_likely_only_then(built, called):
    start = [said("Ana", 0), said("Zé", 300)]
    talk = [[*start, said("Rui", 600, **called), said("Ana", 610)], [*start, said("Rui", 600)]]

    found = fit_propensity(talk * 50, built.roster)

    assert found.probability([*start, said("Rui", 600, **called)], "Ana") > 0.9
    assert found.probability([*start, said("Rui", 600)], "Ana") < 0.1


def test_who_answered_too_seldom_has_no_habits(built):
    answered, unanswered = [said("Rui", 0), said("Ana", 9)], [said("Rui", 0)]

    seldom = fit_propensity([unanswered, *[answered] * (MIN_ANSWERS - 1)], built.roster)
    often = fit_propensity([unanswered, *[answered] * MIN_ANSWERS], built.roster)

    assert (list(seldom.voices), list(often.voices)) == ([], ["Ana"])


def test_at_each_level_a_voice_joins_its_share_of_the_talk_it_learned_from(learned, built):
    train = built.conversations()["train"]
    found = [one for conversation in train for one in find_occasions(conversation)]
    answers = sum(one.answered_by == "Ana" for one in found)
    falling = sorted((learned.probability(one.conversation, "Ana") for one in found), reverse=True)

    bars = learned.voices["Ana"].thresholds

    for level, bar in zip(LEVELS, bars, strict=True):
        place = int(level / 100 * MAX_JOIN_RATE * answers) - 1
        assert bar == pytest.approx(falling[place], abs=1e-5)


def test_chances_add_up_to_the_answers_they_were_learned_from(learned, built):
    train = built.conversations()["train"]
    found = [one for conversation in train for one in find_occasions(conversation)]

    foreseen = sum(learned.probability(one.conversation, "Ana") for one in found)

    assert foreseen == pytest.approx(sum(one.answered_by == "Ana" for one in found), rel=0.01)


def test_nobody_who_may_not_be_learned_from_stands_in_the_dataset_s_file(built):
    speakers = pq.read_table(built.folder / LINES)["speaker"].unique().to_pylist()

    assert set(speakers) == {"Ana", "Rui", "Zé", None}


def test_the_habits_are_those_of_a_chat_without_who_may_not_be_learned_from(built):
    several = [
        fit_propensity(first_of(built.folder.parent / name, habit(with_eva=eva)), built.roster)
        for name, eva in (("with", True), ("without", False))
    ]

    assert several[0] == several[1]
    assert several[0].voices
    assert all("Eva" not in weights.after for weights in several[0].voices.values())


def first_of(folder, entries):
    """Return the first 40 training conversations of an export: its border moves with the lines."""
    export = write(folder, chat(*entries))
    (folder / "roster.toml").write_text(PEOPLE, "utf-8")
    build([export], folder / "ds", small())
    dataset = load_dataset(folder / "ds")
    return dataset.conversations()["train"][:40]


def answers(*conversation):
    return [one.answered_by for one in find_occasions(conversation)]


@pytest.mark.parametrize(
    ("conversation", "answered"),
    [
        ((said("Ana", 0), said("Rui", 120)), ["Rui", None]),
        ((said("Ana", 0), said("Rui", 121)), [None, None]),
        ((said("Ana", 0), said("Ana", 5), said("Rui", 9)), [None, "Rui", None]),
        ((said("Ana", 0), said(None, 5), said("Rui", 9)), [None, "Rui", None]),
        ((said("Ana", 0), said("Rui", 5, repeats=True), said("Ana", 9)), ["Rui", None]),
        ((said("Ana", 0), said(None, 5, ours=True), said("Rui", 9)), [None]),
    ],
    ids=["in time", "too late", "after a burst", "a stranger between", "a repeat is an answer",
         "our bot between"],
)  # fmt: skip
def test_a_line_is_answered_by_the_next_one_in_time_of_somebody_else(conversation, answered):
    assert answers(*conversation) == answered


def test_an_artifact_gets_what_its_dataset_teaches_and_the_same_twice(built, tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()

    for name in "ab":
        save_propensity(built, tmp_path / name)

    assert (tmp_path / "a" / FILE_NAME).read_bytes() == (tmp_path / "b" / FILE_NAME).read_bytes()
    assert "Ana" in read_propensity(tmp_path / "a").voices
    assert "words" not in (tmp_path / "a" / FILE_NAME).read_text("utf-8")


def test_a_voice_that_may_not_be_imitated_is_not_learned(built):
    people = [
        {"name": name, "ids": [number], "imitate": "no" if name == "Ana" else "yes"}
        for number, name in NAMES.items()
    ]

    found = fit_propensity(
        built.conversations()["train"],
        roster_from_json({"people": people}),
    )

    assert "Ana" not in found.voices
