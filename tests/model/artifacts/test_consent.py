"""Decisions that people sent to the bot apply to every version in a models folder."""

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest

from model.artifacts.consent import (
    name_source,
    read_facts,
    store_facts,
    store_imported,
    store_people,
)
from model.artifacts.database import DATABASE, stamp_database, write_database
from model.artifacts.registry import Registry
from model.chat.permissions import Facts, apply_facts, permissions
from model.chat.person import Decision, Person
from model.chat.roster import (
    Roster,
    apply_new_roster,
    merge_stricter,
    remove_decisions,
    roster_from_json,
    roster_to_json,
)
from model.errors import ArtifactError, RosterError
from tests.model.fake_artifacts import ROSTER, make

NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)


def told(user, said, hours=0):
    return Decision(user, said, NOON + timedelta(hours=hours))


def over(person, *decisions):
    """Return a person with these decisions applied."""
    return apply_facts(Roster((person,)), Facts().with_source("a dump", decisions)).people[0]


def store(root, *decisions, people=(), chat=-5):
    """Store decisions and people as a retraining does."""
    told = [replace(one, chat_id=chat) for one in decisions]
    with write_database(root) as connection:
        connection.execute(
            "INSERT OR IGNORE INTO chats VALUES (?, 5, 'Friends', '', NULL, '[]', '[]', 0)", (chat,)
        )
        store_facts(connection, Facts().with_source(name_source("a dump", told), told))
        store_people(connection, people)


def find_decision(facts, user):
    """Return the decision of a user that counts."""
    ((_, own),) = permissions([Person("somebody", (user,))], facts)
    return "optout" if own.optouts else "optin" if own.has_agreed else None


@pytest.mark.parametrize("imitate", ["yes", "ask"])
def test_people_who_opted_out_are_not_voices_until_they_opt_in_again(imitate):
    friend = Person("João", (7,), imitate=imitate)

    out = over(friend, told(7, "optout"))

    assert (out.imitate, out.learn, out.why_silent) == (
        "no", "yes", "sent /optout to the bot on 2024-03-01",
    )  # fmt: skip
    assert over(out, told(7, "optin", 1)) == replace(friend, imitate="ask")


def test_an_older_optin_does_not_cancel_an_optout():
    out = over(Person("João", (7,), imitate="yes"), told(7, "optout"))

    assert over(out, told(7, "optin", -1)) == out


def test_an_optin_does_not_override_a_rosters_no():
    friend = Person("João", (7,), imitate="no")

    assert over(friend, told(7, "optout"), told(7, "optin", 1)) == friend
    assert over(friend, told(7, "optin", 1)) == friend


def test_only_the_same_account_can_cancel_its_optout():
    out = over(Person("João", (7, 77), imitate="yes"), told(7, "optout"))

    assert over(out, told(77, "optin", 1)).imitate == "no"
    assert over(out, told(7, "optin", 1)).imitate == "ask"


def test_ask_does_not_become_yes_without_an_optin():
    out = Roster((over(Person("João", (7,), imitate="yes"), told(7, "optout")),))

    assert remove_decisions(out).people == (Person("João", (7,), imitate="ask"),)


def test_after_an_optout_a_yes_is_ask_wherever_the_model_is_used():
    friend = Person("João", (7,), imitate="yes")

    assert over(friend, told(7, "optout"), told(7, "optin", 1)).imitate == "ask"
    assert over(friend, told(7, "optin")).imitate == "yes"


def test_a_roster_with_optouts_is_read_back_as_it_was_written():
    out = Roster((over(Person("João", (7,), imitate="yes"), told(7, "optout")),))

    assert roster_from_json(json.loads(json.dumps(roster_to_json(out)))) == out
    assert "opted_out" not in roster_to_json(ROSTER)["people"][0]


@pytest.mark.parametrize(
    "forged",
    [
        {"user_id": 7, "decision": "optin", "at": "2099-01-01T00:00:00+00:00"},
        {"user_id": 8, "decision": "optout", "at": "2099-01-01T00:00:00+00:00"},
        {"user_id": 7, "decision": "optout", "at": "2099-01-01"},
        {"user_id": 7, "decision": "optout"},
        {"user_id": "7", "decision": "optout", "at": "2099-01-01T00:00:00+00:00"},
        7,
    ],
    ids=["a yes", "another's no", "no time zone", "no time", "no number", "no decision"],
)
def test_a_forged_decision_in_a_roster_is_refused(forged):
    person = {"name": "João", "ids": [7], "imitate": "no", "opted_out": [forged]}

    with pytest.raises(RosterError):
        roster_from_json({"people": [person]})


@pytest.mark.parametrize("newer", ["yes", "ask", "no"])
def test_every_no_in_either_roster_stays(newer):
    no, friend = Person("João", (7,), imitate="no"), Person("João", (7,), imitate=newer)

    for pair in ((no, friend), (friend, no)):
        assert merge_stricter(*(Roster((one,)) for one in pair)).people[0] == no


def test_a_newer_roster_does_not_cancel_an_imported_optout(tmp_path):
    friend = Person("João", (7,), imitate="yes")
    out = over(friend, told(7, "optout"))
    store_imported(tmp_path, Roster((out,)), "joao.zip")

    newer = apply_new_roster(Roster((friend,)), Roster((friend,)), ["João"])

    assert apply_facts(newer, read_facts(tmp_path, [-5])).people == (out,)


OUT, IN = told(7, "optout"), told(7, "optin", 1)
FAST = told(7, "optin", 72)
"""Recorded while the clock was three days fast."""
FUTURE = Decision(7, "optin", datetime.now(UTC) + timedelta(days=3))


@pytest.mark.parametrize(
    ("sources", "last"),
    [
        ([[FAST, IN, OUT]], OUT),
        ([[FAST], [FAST, OUT]], OUT),
        ([[FAST, OUT], [FAST]], OUT),
        ([[told(7, "optout", 72)], [told(7, "optout", 72), IN]], IN),
        ([[OUT], [IN]], IN),
        ([[IN], [OUT]], IN),
        ([[OUT], [told(7, "optin")]], OUT),
        ([[told(7, "optin")], [OUT]], OUT),
        ([[OUT], [FUTURE]], OUT),
        ([[FUTURE], [OUT]], OUT),
        ([[OUT, FUTURE]], FUTURE),
        ([[told(7, "optout", 2), IN], [IN, told(7, "optout", 2)]], told(7, "optout", 2)),
    ],
    ids=[
        "within a source the last one", "a longer dump later", "an older dump later",
        "an optout from the future, then an optin", "the later one", "in any order of sources",
        "equal times", "equal times, the optout second", "an optin from the future",
        "an optin from the future first", "from the future in one source", "contradictory orders",
    ],
)  # fmt: skip
def test_the_order_of_arrival_counts_and_times_only_between_sources(sources, last):
    facts = Facts({str(number): source for number, source in enumerate(sources)})

    assert find_decision(facts, 7) == last.kind


@pytest.mark.parametrize("order", [*permutations(range(3))])
def test_the_source_that_continues_after_the_others_counts_in_any_order(order):
    first, both = told(7, "optin", -9), told(7, "optout", 2)
    sources = [[first, both], [first, told(7, "optin", 2)], [both, told(7, "optin", 2)]]

    facts = Facts({str(place): sources[place] for place in order})

    assert find_decision(facts, 7) == "optin"


def test_an_optin_counts_only_for_the_chat_in_which_it_was_sent(tmp_path):
    store(tmp_path, OUT, told(8, "optin"))
    store(tmp_path, OUT, IN, chat=-6)
    store_imported(tmp_path, Roster((over(Person("Zé", (9,)), told(9, "optout")),)), "zé.zip")

    found = {chat: read_facts(tmp_path, [chat]) for chat in (-5, -6)}

    assert {
        chat: {user: find_decision(facts, user) for user in (7, 8, 9)}
        for chat, facts in found.items()
    } == {-5: {7: "optout", 8: "optin", 9: "optout"}, -6: {7: "optin", 8: None, 9: "optout"}}


@pytest.mark.parametrize("asked", [-5, -105], ids=["before", "after"])
@pytest.mark.parametrize("sent", [-5, -105], ids=["sent before", "sent after"])
def test_an_optin_counts_before_and_after_its_group_became_a_supergroup(tmp_path, sent, asked):
    store(tmp_path, told(8, "optin"), chat=sent)
    with write_database(tmp_path) as connection:
        connection.execute("DELETE FROM chats")
        connection.execute("INSERT INTO chats VALUES (-105, 105, 'Friends', '', -5, '[]', '[]', 0)")

    assert find_decision(read_facts(tmp_path, [asked]), 8) == "optin"


def test_imported_optouts_are_stored_once_and_readable_only_by_the_owner(tmp_path):
    out = Roster((over(Person("Zé", (9,)), told(9, "optout")),))

    store_imported(tmp_path, out, "models/zé.zip")
    store_imported(tmp_path, out, "models/zé.zip")

    ((name, decisions),) = read_facts(tmp_path, ()).sources.items()
    assert (name.split("#")[0], decisions) == ("the imported model zé.zip", [told(9, "optout")])
    assert (tmp_path / DATABASE).stat().st_mode & 0o077 == 0


def test_an_import_without_optouts_creates_no_file(tmp_path):
    store_imported(tmp_path, ROSTER, "hugo.zip")

    assert list(tmp_path.iterdir()) == []
    assert read_facts(tmp_path, ()) == Facts()


@pytest.mark.parametrize("by", ["number", "current", "folder", "another folder's registry"])
def test_every_way_to_open_a_version_applies_optouts(tmp_path, by):
    registry = Registry(tmp_path / "models")
    name = registry.promote(registry.add(make(tmp_path / "made")))
    store(registry.root, told(7, "optout"))
    folder = str(registry.root / "versions" / name)

    opened = {
        "number": lambda: registry.open("1"),
        "current": lambda: registry.open_verified("current"),
        "folder": lambda: registry.open(folder),
        "another folder's registry": lambda: Registry(tmp_path / "other").open(folder),
    }[by]()

    assert opened.card.roster.find_by_name("João").imitate == "no"
    assert opened.card.learned == ("João", "李雷")


@pytest.mark.parametrize("refusal", [{"learn": "no"}, {"imitate": "no"}])
def test_whoever_the_folders_roster_excludes_is_not_a_voice_in_any_version(tmp_path, refusal):
    registry = Registry(tmp_path / "models")
    registry.add(make(tmp_path / "made"))
    store(registry.root, told(7, "optin"), people=[Person("João again", (7, 70), **refusal)])

    person = registry.open("1").card.roster.find_by_name("João")

    assert (person.imitate, person.opted_out) == ("no", ())


def test_the_folders_state_changes_with_the_stored_consent(tmp_path):
    registry = Registry(tmp_path / "models")
    registry.promote(registry.add(make(tmp_path / "made")))
    before = registry.fingerprint(), stamp_database(registry.root)

    store(registry.root, told(7, "optout"))

    assert registry.fingerprint() != before[0]
    assert stamp_database(registry.root) != before[1]


@pytest.mark.parametrize(
    "harm",
    [
        "UPDATE facts SET kind = 'perhaps'", "UPDATE facts SET at = 'yesterday'",
        "UPDATE facts SET at = '2024-03-01T12:00:00'", "UPDATE people SET person = '{'",
        "UPDATE people SET person = '7'", "UPDATE people SET person = '{}'", "DROP TABLE facts",
        "PRAGMA user_version = 9",
    ],
)  # fmt: skip
def test_no_version_can_be_opened_with_a_damaged_record_of_decisions(tmp_path, harm):
    registry = Registry(tmp_path / "models")
    registry.add(make(tmp_path / "made"))
    store(registry.root, told(7, "optout"), people=[Person("João", (7,))])
    with closing(sqlite3.connect(registry.root / DATABASE)) as connection:
        connection.execute(harm)
        connection.commit()

    with pytest.raises(ArtifactError, match="models.db") as caught:
        registry.open("1")

    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"words" * 2000, b"SQLite format 3\0"])
def test_no_version_can_be_opened_with_another_file_in_the_databases_place(tmp_path, content):
    registry = Registry(tmp_path / "models")
    registry.add(make(tmp_path / "made"))
    (registry.root / DATABASE).write_bytes(content)

    with pytest.raises(ArtifactError, match="models.db is damaged .* nobody's consent is known"):
        registry.open("1")
