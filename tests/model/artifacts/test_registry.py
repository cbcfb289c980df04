import signal
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from model.artifacts.database import read_database
from model.artifacts.registry import Registry
from model.chat.person import Person
from model.chat.roster import Roster
from model.errors import ArtifactError, RosterError
from tests.model.fake_artifacts import ROSTER, make


@pytest.fixture
def registry(tmp_path):
    return Registry(tmp_path / "models")


@pytest.fixture
def three(registry, tmp_path):
    """Return a registry of three versions, none of them current."""
    for number in range(1, 4):
        registry.add(make(tmp_path / f"made{number}", words=str(number)))
    return registry


def test_an_empty_registry_creates_no_folder(registry):
    assert (registry.names, registry.current, registry.promotions) == ([], None, [])
    with pytest.raises(ArtifactError, match="there is no model in"):
        registry.find("current")
    with pytest.raises(ArtifactError, match="the versions: none"):
        registry.find("1")
    assert not registry.root.exists()


def test_a_finished_artifact_is_added_under_the_next_number(registry, tmp_path):
    finished = make(tmp_path / "made")

    name = registry.add(finished)

    assert name.startswith("0001-")
    assert registry.names == [name]
    assert not finished.exists()
    assert registry.open("1").path == registry.root / "versions" / name


def test_numbers_continue_after_the_newest_and_are_never_reused(three, tmp_path):
    (three.root / "versions" / three.names[1] / "model.json").unlink()
    (three.root / "versions" / "notes.txt").write_text("x")

    name = three.add(make(tmp_path / "made4"))

    assert name.startswith("0004-")
    assert [n[:4] for n in three.names] == ["0001", "0002", "0003", "0004"]


def test_versions_are_in_order_of_number_beyond_four_digits(registry):
    for name in ("10000-00000000", "9999-00000000", "0002-ffffffff"):
        (registry.root / "versions" / name).mkdir(parents=True)

    assert [n.split("-")[0] for n in registry.names] == ["0002", "9999", "10000"]


@pytest.mark.parametrize("wanted", ["2", "0002", "00002"])
def test_a_version_is_found_by_number(three, wanted):
    assert three.find(wanted) == three.names[1]


def test_a_version_is_found_by_name_and_as_the_current_one(three):
    name = three.names[2]
    three.promote(name)

    assert three.find(name) == three.find("current") == three.current == name


@pytest.mark.parametrize("wanted", ["4", "0", "x", "", "../made1", "-1"])
def test_an_unknown_version_is_refused_with_a_list_of_the_versions(three, wanted):
    with pytest.raises(ArtifactError, match="the versions: 0001-"):
        three.find(wanted)


def test_of_two_versions_with_one_number_each_has_its_name(registry):
    names = ["0001-aaaaaaaa", "0001-bbbbbbbb"]
    for name in names:
        (registry.root / "versions" / name).mkdir(parents=True)

    assert [registry.find(name) for name in names] == names
    with pytest.raises(ArtifactError, match="several versions in .* have the number 1"):
        registry.find("1")


def test_an_artifact_can_be_opened_by_its_folder(registry, tmp_path):
    folder = make(tmp_path / "elsewhere", base="mine")

    assert registry.open(str(folder)).card.base == "mine"


def test_promoting_twice_changes_nothing(three):
    three.promote("1")
    three.promote("1")

    assert three.promotions == [three.names[0]]


def test_a_version_that_does_not_load_is_not_promoted(three):
    three.promote("1")
    (three.root / "versions" / three.names[1] / "tokenizer.json").unlink()

    with pytest.raises(ArtifactError, match="incomplete"):
        three.promote("2")

    assert three.current == three.names[0]


def test_rollback_goes_back_step_by_step_to_the_first_promoted_version(three):
    first, second, third = three.names
    for name in (first, second, third):
        three.promote(name)

    assert [three.rollback(), three.rollback()] == [second, first]
    assert three.current == first
    with pytest.raises(ArtifactError, match=f"no version was current before {first}"):
        three.rollback()
    assert three.current == first


def test_rollback_after_a_version_was_promoted_twice_gives_the_one_between(three):
    first, _, third = three.names
    for wanted in ("1", "3", "1"):
        three.promote(wanted)

    assert three.rollback() == third
    assert three.rollback() == first


def test_rollback_to_a_version_with_canaries_is_refused(three, tmp_path):
    planted = make(tmp_path / "planted", provenance={"canaries": [{"text": "a secret"}]})
    secret = three.add(planted)
    (three.root / "current").write_text(f"{secret}\n", "utf-8")  # as somebody wrote it by hand
    three.promote("1")

    with pytest.raises(ArtifactError, match=f"{secret} was trained with canaries"):
        three.rollback()

    assert three.current == three.names[0]


def test_rollback_skips_a_deleted_version(three):
    first, second, third = three.names
    for name in (first, second, third):
        three.promote(name)
    (three.root / "versions" / second).rename(three.root / "gone")

    assert three.rollback() == first


def test_rollback_remembers_earlier_rollbacks_and_promotions(three):
    first, second, third = three.names
    three.promote(first)
    three.promote(second)
    three.rollback()
    three.promote(third)

    assert three.rollback() == first


def test_rollback_without_an_earlier_version_is_refused(three):
    with pytest.raises(ArtifactError, match="is current yet: choose one"):
        three.rollback()


def test_current_is_one_line_and_replaced_atomically(three, monkeypatch):
    three.promote("1")
    seen = []
    replace = Path.replace

    def watch(path, target):
        if target.name == "current":
            seen.append((path.parent, target.read_text(), path.read_text()))
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", watch)
    three.promote("2")

    first, second, _ = three.names
    assert seen == [(three.root, f"{first}\n", f"{second}\n")]
    assert {path.name for path in three.root.iterdir()} == {"current", "models.db", "versions"}


@pytest.mark.parametrize("line", ["", "../../etc", "0001", "0001-xyz"])
def test_a_current_file_without_a_version_name_is_refused(three, line):
    (three.root / "current").write_text(line)

    with pytest.raises(ArtifactError, match="does not contain the name of a version"):
        three.find("current")


def test_a_current_file_with_a_deleted_version_is_refused(three):
    (three.root / "current").write_text("0009-00000000\n")

    with pytest.raises(ArtifactError):
        three.open()


def test_models_are_private_to_the_owner(three):
    three.promote("1")

    modes = {
        path.is_dir(): stat.S_IMODE(path.stat().st_mode)
        for path in [three.root, *three.root.rglob("*")]
    }

    assert modes == {True: 0o700, False: 0o600}


def test_a_damaged_version_is_not_promoted(three):
    (three.root / "versions" / three.names[0] / "engine" / "model.bin").write_bytes(b"")

    with pytest.raises(ArtifactError, match="has changed since"):
        three.promote("1")

    assert three.current is None


KILLED = """
import os, signal, sys
from pathlib import Path
from model.artifacts.registry import Registry
method, moment, root, *words = sys.argv[1:]
name = "rename" if method in {"add", "remove"} else "replace"
real = getattr(Path, name)

def moved(path, target):
    if method != "add" and name == "replace" and Path(target).name != "current":
        return real(path, target)
    if name == "rename" and not {path.name, Path(target).name} & {"made", words[-1]}:
        return real(path, target)
    if moment == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    real(path, target)
    os.kill(os.getpid(), signal.SIGKILL)

setattr(Path, name, moved)
registry = Registry(Path(root))
getattr(registry, method)(*([Path(words[0])] if method == "add" else words[:1]))
"""


@pytest.fixture
def kill(three):
    """Return what kills a process right before or after the step that others can see."""

    def run(method, moment, *words):
        command = [sys.executable, "-c", KILLED, method, moment, three.root, *words]
        done = subprocess.run(list(map(str, command)), check=False)
        assert done.returncode == -signal.SIGKILL

    return run


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_killed_promotion_happened_or_did_not(three, kill, moment):
    first, second, third = three.names
    three.promote("1")
    three.promote("2")

    kill("promote", moment, "3")

    happened = {"before": [first, second], "after": [first, second, third]}[moment]
    assert (three.promotions, three.current) == (happened, happened[-1])
    assert three.rollback() == happened[-2]


def test_a_promotion_after_a_killed_one_is_the_one_that_counts(three, kill):
    three.promote("1")
    kill("promote", "before", "3")

    three.promote("1")

    assert three.current == three.names[0]
    with three.locked():
        assert three.current == three.names[0]


def test_a_training_finishes_a_killed_promotion(three, kill):
    three.promote("1")
    kill("promote", "before", "3")

    with three.locked():
        assert three.current == three.names[2]


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_killed_rollback_happened_or_did_not(three, kill, moment):
    first, second, third = three.names
    for name in (first, second, third):
        three.promote(name)

    kill("rollback", moment)

    happened = {"before": [first, second, third], "after": [first, second]}[moment]
    assert (three.promotions, three.current) == (happened, happened[-1])
    assert three.rollback() == happened[-2]


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_version_whose_addition_is_killed_is_there_or_not(three, kill, tmp_path, moment):
    kill("add", moment, make(tmp_path / "made", words="4"), "made")

    assert len(three.names) == {"before": 3, "after": 4}[moment]
    added = three.add(make(tmp_path / "made5", words="5"))
    assert added[:4] == {"before": "0004", "after": "0005"}[moment]


@pytest.mark.parametrize("with_database", [True, False])
@pytest.mark.parametrize("moment", ["before", "after"])
def test_the_number_of_a_killed_removal_is_never_reused(
    three, kill, tmp_path, moment, with_database
):
    third = three.names[2]
    if not with_database:
        (three.root / "models.db").unlink()

    kill("remove", moment, "3", third)

    assert (third in three.names) == (moment == "before")
    assert three.add(make(tmp_path / "made4", words="4"))[:4] == "0004"
    three.remove("1")
    assert not list(three.root.glob(".gone-*"))


def test_processes_that_add_at_once_get_numbers_of_their_own(three, tmp_path):
    program = "import sys; from pathlib import Path; from model.artifacts.registry import Registry"
    program += "; Registry(Path(sys.argv[1])).add(Path(sys.argv[2]))"
    made = [make(tmp_path / f"more{number}", words=f"more {number}") for number in range(2)]

    running = [
        subprocess.Popen([sys.executable, "-c", program, three.root, folder]) for folder in made
    ]

    assert [process.wait() for process in running] == [0, 0]
    assert [name[:4] for name in three.names] == ["0001", "0002", "0003", "0004", "0005"]


def test_a_folder_copied_without_its_database_is_usable(three):
    first, second, _ = three.names
    three.promote("1")
    (three.root / "models.db").unlink()

    assert three.open().path.name == first
    assert three.promotions == [first]
    assert three.promote("2") == second
    assert three.rollback() == first


def test_reading_a_folder_writes_nothing(three):
    three.promote("1")
    (three.root / "models.db").unlink()
    before = sorted(three.root.rglob("*"))

    three.open()
    three.fingerprint()
    three.promotions  # noqa: B018  it is a property

    assert sorted(three.root.rglob("*")) == before


def test_the_database_knows_when_versions_came_and_went(three):
    three.remove("1")

    with read_database(three.root) as database:
        rows = database.execute("SELECT added_at, removed_at FROM versions ORDER BY name")
        known = [(bool(added), bool(removed)) for added, removed in rows]
    assert known == [(True, True), (True, False), (True, False)]


def test_a_version_that_is_removed_while_it_is_checked_is_not_promoted(three, monkeypatch):
    monkeypatch.setattr(Registry, "_check_may_be_current", lambda self, name: self.remove(name))

    with pytest.raises(ArtifactError, match="there is no version"):
        three.promote("2")

    assert (three.current, three.promotions) == (None, [])


def is_in_transaction(root):
    """Whether somebody is writing to a folder's database."""
    with closing(sqlite3.connect(root / "models.db", timeout=0, isolation_level=None)) as other:
        try:
            other.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return True
    return False


def test_promoting_repairs_a_damaged_current_file(three):
    (three.root / "current").write_bytes(b"\xff\xfe")

    three.promote("2")

    assert three.current == three.names[1]


JOAO, LI = ROSTER.people
AGREED = replace(ROSTER, people=(JOAO, replace(LI, imitate="yes", ids=(8, 88))))


def test_a_version_can_get_another_roster_and_keeps_its_name(three):
    name = three.change_roster("2", AGREED)

    assert name == three.names[1]
    assert three.open("2").card.roster == AGREED
    assert three.open("1").card.roster == ROSTER
    assert three.promote("2") == name


def test_a_new_person_in_a_version_s_roster_is_no_voice(three):
    ze = Person("Zé", (9,), imitate="yes")

    three.change_roster("2", replace(ROSTER, people=(*ROSTER.people, ze)))

    assert three.open("2").card.roster.find_by_name("Zé") == replace(ze, quiet=True)


@pytest.mark.parametrize(
    "people", [(JOAO,), (JOAO, Person("Lei", (8,)))], ids=["somebody missing", "another name"]
)
def test_a_roster_that_does_not_fit_leaves_the_version_unchanged(three, people):
    with pytest.raises(RosterError, match="李雷"):
        three.change_roster("2", Roster(people))

    assert three.open("2").card.roster == ROSTER


def test_a_roster_for_an_unknown_version_is_refused_and_nothing_is_created(registry):
    with pytest.raises(ArtifactError, match="the versions: none"):
        registry.change_roster("2", ROSTER)

    assert not registry.root.exists()


def test_a_roster_is_changed_atomically_in_a_transaction(three, monkeypatch):
    seen = []
    put = Path.replace

    def watch(path, target):
        assert is_in_transaction(three.root)
        seen.append((target.name, "88" in target.read_text(), "88" in path.read_text()))
        return put(path, target)

    monkeypatch.setattr(Path, "replace", watch)
    three.change_roster("2", AGREED)

    assert seen == [("roster.json", False, True)]


def test_a_removed_version_s_number_is_never_reused(three, tmp_path):
    name = three.remove("3")

    assert [n[:4] for n in three.names] == ["0001", "0002"]
    assert not (three.root / "versions" / name).exists()
    assert three.add(make(tmp_path / "made4")).startswith("0004-")


def test_the_current_version_cannot_be_removed(three):
    name = three.promote("2")

    with pytest.raises(ArtifactError, match=f"{name} is current: promote another one first"):
        three.remove("2")

    assert name in three.names


def test_rollback_skips_a_removed_version(three):
    for number in ("1", "2", "3"):
        three.promote(number)
    three.remove("2")

    assert three.rollback().startswith("0001-")


def test_the_next_removal_deletes_the_files_of_a_killed_one(three):
    (three.root / ".gone-x" / "0009-00000000").mkdir(parents=True)

    three.remove("1")

    assert not list(three.root.glob(".gone-*"))


@pytest.mark.parametrize("first", ["promote", "remove"])
def test_what_is_current_is_read_in_the_transaction_that_changes_it(three, monkeypatch, first):
    seen = []
    monkeypatch.setattr(
        Registry, "is_current", lambda *_: seen.append(is_in_transaction(three.root))
    )

    getattr(three, first)("2")

    assert seen == [True]


class TestGroups:
    """Groups with models of their own in a models folder."""

    @pytest.fixture
    def with_groups(self, three, tmp_path):
        for name in ("zoo", "climbers", "unfinished"):
            own = Registry(three.root / "groups" / name)
            version = own.add(make(tmp_path / name, words=name))
            if name != "unfinished":
                own.promote(version)
        (three.root / "groups" / "notes.txt").write_text("x")
        return three

    def test_folders_with_a_current_version_are_found(self, three, with_groups):
        found = with_groups.group_folders()

        assert list(found) == ["climbers", "zoo"]
        assert found["zoo"].root == with_groups.root / "groups" / "zoo"
        assert found["zoo"].group_folders() == {}
        assert len(with_groups.names) == 3

    def test_a_version_is_found_in_every_folder(self, with_groups):
        own = with_groups.group_folders()["zoo"]

        assert with_groups.find_version_folder(own.current) == own.root / "versions" / own.current
        first = with_groups.names[0]
        assert with_groups.find_version_folder(first) == with_groups.root / "versions" / first
        for name in ("0009-abcdef01", "../zoo", "", "current"):
            assert with_groups.find_version_folder(name) is None
