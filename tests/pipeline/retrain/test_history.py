"""What is kept of a chat beside its models."""

from dataclasses import replace

import pytest

from model.artifacts.consent import name_source
from model.artifacts.database import DATABASE
from model.chat.permissions import Facts
from model.chat.person import Decision, Person
from model.errors import ArtifactError
from pipeline.retrain.history import (
    ExportRange,
    History,
    HistoryHeader,
    list_chats,
    open_history,
    write_history,
)
from pipeline.versions.ledger import BOT_ID_OFFSET, Ledger, join_id, split_id
from tests.pipeline.chats import NOON

HEAD = HistoryHeader(
    -5, 5, "Friends", "private_group", (ExportRange(1, 9, 100, 900),), ("ab" * 32,),
    utc_offsets=(("2024-03-01", 60),),
)  # fmt: skip
NAMES = [None, "Anna", "李雷"]
BOTS = BOT_ID_OFFSET + 3
ROWS = [
    (-5, 1, 0, 100, 7, 1, "first words", None, 0, 0), (-5, 9, 0, 900, 8, 2, "二", 1, 0, 950),
    (-5, BOTS, 0, 901, 8, 2, "only the bot heard this", BOTS - 1, 0, 0),
]  # fmt: skip
TOLD = [Decision(7, "optout", NOON, -5)]


@pytest.fixture
def history(tmp_path):
    ledger = Ledger(
        Facts().with_source(name_source("a dump", TOLD), TOLD),
        (Person("Anna", (7,)), Person("Bea", (9,), learn="no")),
        forgotten=frozenset({4, 5}),
        understudies=frozenset({99}),
        deleted=2,
        aliases={12: 3, 13: BOTS},
        forgotten_words=frozenset({5}),
    )
    return write_history(History(tmp_path, ledger, None, -5), HEAD, ROWS, NAMES)


def test_what_is_kept_is_read_back(history, tmp_path):
    names = {None: 0, "somebody else": 1}

    read = open_history(tmp_path, -5)

    assert read.ledger.facts.sources == {
        name: list(told) for name, told in history.ledger.facts.sources.items()
    }
    assert replace(read.ledger, facts=history.ledger.facts) == history.ledger
    assert (read.header, list_chats(tmp_path)) == (HEAD, [HEAD])
    assert [row[5] for row in read.rows(names)] == [names[NAMES[row[5]]] for row in ROWS]
    assert [(*row[:5], *row[6:]) for row in read.rows(names)] == [
        (*row[:5], *row[6:]) for row in ROWS
    ]


def test_who_withdrew_follows_from_the_people_and_their_decisions(history):
    assert [(one.name, one.since) for one in history.ledger.withdrawn] == [
        ("Anna", NOON), ("Bea", None),
    ]  # fmt: skip
    assert history.ledger.opted_out == {7}


def test_nothing_is_kept_and_nothing_made_before_the_first_time(tmp_path):
    read = open_history(tmp_path, -5)

    assert (read.header, list(read.rows({})), list_chats(tmp_path)) == (None, [], [])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [1, -7, -(10**9) + 5, BOTS, BOT_ID_OFFSET - 9, 2**49 + 1])
def test_an_id_and_who_gave_it_are_stored_apart(number):
    space, own = split_id(number)

    assert (space == "bot") == (number in {BOTS, BOT_ID_OFFSET - 9})
    assert join_id(space, own) == number


def test_of_what_is_gone_or_changed_the_file_has_no_byte(history, tmp_path):
    content = (tmp_path / DATABASE).read_bytes()
    assert b"first words" in content
    assert b"only the bot heard" in content

    again = write_history(history, HEAD, [(*ROWS[0][:6], "[…]", None, 0, 0), ROWS[1]], NAMES)

    content = (tmp_path / DATABASE).read_bytes()
    assert [row.text for row in again.rows({})] == ["[…]", "二"]
    assert b"first words" not in content
    assert b"only the bot heard" not in content
    assert [path.name for path in tmp_path.iterdir()] == [DATABASE]


def test_an_interrupted_write_changes_nothing(history, tmp_path):
    before = (tmp_path / DATABASE).read_bytes()

    def fail():
        yield ROWS[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_history(history, replace(HEAD, name="Others"), fail(), NAMES)

    assert (tmp_path / DATABASE).read_bytes() == before


def test_damage_is_one_line_that_says_what_to_do(history, tmp_path):
    content = (tmp_path / DATABASE).read_bytes()
    (tmp_path / DATABASE).write_bytes(content[:40] + b"damage" * 2000)

    with pytest.raises(ArtifactError, match=r"is damaged .*restore it from a backup") as caught:
        open_history(tmp_path, -5)

    assert "\n" not in str(caught.value)
