"""Decisions that people sent to the bot apply to every version in a folder of models."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from model.artifacts.consent import (
    Consent,
    read_consent,
    read_imported,
    stamp_consent,
    store_imported,
)
from model.artifacts.registry import Registry
from model.chat.person import Decision, Person
from model.chat.roster import (
    Roster,
    apply_decisions,
    apply_new_roster,
    merge_decisions,
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
    return apply_decisions(Roster((person,)), merge_decisions(decisions)).people[0]


def ledger(root, *decisions, withdrawn=(), chat=-5):
    """Write a ledger as a retraining stores it."""
    told = [
        {"user_id": one.user_id, "decision": one.kind, "at": one.at.isoformat()}
        for one in decisions
    ]
    folder = root / "history" / str(chat)
    folder.mkdir(parents=True, exist_ok=True)
    value = {"history": "x", "ledger": {"decisions": told, "withdrawn": list(withdrawn)}}
    (folder / "index.json").write_text(json.dumps(value))


@pytest.mark.parametrize("imitate", ["yes", "ask"])
def test_people_who_opted_out_are_not_voices_until_they_opt_in_again(imitate):
    friend = Person("João", (7,), imitate=imitate)

    out = over(friend, told(7, "optout"))

    assert (out.imitate, out.learn, out.why_silent) == (
        "no", "yes", "told the bot /optout on 2024-03-01",
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


def test_a_newer_roster_does_not_cancel_a_versions_optout():
    friend = Person("João", (7,), imitate="yes")
    out = over(friend, told(7, "optout"))

    assert apply_new_roster(Roster((out,)), Roster((friend,)), ["João"]).people == (out,)


@pytest.mark.parametrize("newer", ["yes", "ask", "no"])
def test_every_no_in_either_roster_stays(newer):
    no, friend = Person("João", (7,), imitate="no"), Person("João", (7,), imitate=newer)
    out = over(Person("João", (7,), imitate="yes"), told(7, "optout"))

    for pair in ((no, friend), (friend, no)):
        assert merge_stricter(*(Roster((one,)) for one in pair)).people[0] == no
    assert merge_stricter(Roster((out,)), Roster((friend,))).people[0] == (
        no if newer == "no" else out
    )


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
    assert merge_decisions(*sources)[7][-1] == last


def test_an_optin_counts_only_for_the_chat_of_its_ledger(tmp_path):
    ledger(tmp_path, OUT, told(8, "optin"))
    ledger(tmp_path, OUT, IN, chat=-6)
    store_imported(tmp_path, Roster((over(Person("Zé", (9,)), told(9, "optout")),)))

    found = {chat: read_consent(tmp_path, {chat}).decisions for chat in (-5, -6)}

    assert {
        chat: {user: told[-1].kind for user, told in decisions.items()}
        for chat, decisions in found.items()
    } == {-5: {7: "optout", 8: "optin", 9: "optout"}, -6: {7: "optin", 9: "optout"}}


def test_imported_optouts_are_stored_once_and_readable_only_by_the_owner(tmp_path):
    out = Roster((over(Person("Zé", (9,)), told(9, "optout")),))

    store_imported(tmp_path, out)
    store_imported(tmp_path, out)

    assert read_imported(tmp_path) == [told(9, "optout")]
    assert (tmp_path / "consent.json").stat().st_mode & 0o077 == 0


def test_an_import_without_optouts_creates_no_file(tmp_path):
    store_imported(tmp_path, ROSTER)

    assert list(tmp_path.iterdir()) == []
    assert read_consent(tmp_path, ()) == Consent()


@pytest.mark.parametrize("by", ["number", "current", "folder", "another folder's registry"])
def test_every_way_to_open_a_version_applies_optouts(tmp_path, by):
    registry = Registry(tmp_path / "models")
    name = registry.promote(registry.add(make(tmp_path / "made")))
    ledger(registry.root, told(7, "optout"))
    folder = str(registry.root / "versions" / name)

    opened = {
        "number": lambda: registry.open("1"),
        "current": lambda: registry.open_verified("current"),
        "folder": lambda: registry.open(folder),
        "another folder's registry": lambda: Registry(tmp_path / "other").open(folder),
    }[by]()

    assert opened.card.roster.find_by_name("João").imitate == "no"
    assert opened.card.learned == ("João", "李雷")


def test_a_withheld_person_is_not_a_voice_in_any_version(tmp_path):
    registry = Registry(tmp_path / "models")
    registry.add(make(tmp_path / "made"))
    out = {"name": "João", "ids": [7], "since": None}
    ledger(registry.root, withdrawn=[out])

    person = registry.open("1").card.roster.find_by_name("João")

    assert (person.imitate, person.opted_out) == ("no", ())


def test_the_folders_state_changes_with_the_stored_consent(tmp_path):
    registry = Registry(tmp_path / "models")
    registry.promote(registry.add(make(tmp_path / "made")))
    before = registry.fingerprint(), stamp_consent(registry.root)

    ledger(registry.root, told(7, "optout"))

    assert registry.fingerprint() != before[0]
    assert stamp_consent(registry.root) != before[1]


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", '{"ledger": {"decisions": [{}], "withdrawn": []}}', '{"ledger": 5}'),
        *('{"ledger": {"decisions": {}, "withdrawn": []}}', '{"ledger": {"decisions": []}}'),
        '{"ledger": {"decisions": [], "withdrawn": [{"since": null, "ids": ["3"]}]}}',
        '{"ledger": {"decisions": [], "withdrawn": [{"since": null, "ids": "3"}]}}',
        '{"ledger": {"decisions": [], "withdrawn": [{"since": 7, "ids": [3]}]}}',
    ],
)
def test_no_version_can_be_opened_with_a_damaged_ledger(tmp_path, text):
    registry = Registry(tmp_path / "models")
    registry.add(make(tmp_path / "made"))
    ledger(registry.root)
    (registry.root / "history" / "-5" / "index.json").write_text(text)

    with pytest.raises(ArtifactError, match="index.json is damaged") as caught:
        registry.open("1")

    assert "\n" not in str(caught.value)
