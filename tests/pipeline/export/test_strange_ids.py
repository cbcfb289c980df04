"""No message is lost because of ids that Telegram would not write."""

import pytest

from pipeline.dataset.build import build
from pipeline.dataset.storage import load_dataset
from tests.pipeline.chats import LAYOUTS, chat, conversation, entry, service, small, write
from tests.pipeline.export.reading import read
from tests.pipeline.retrain.merging import merging, remember, said


def anonymous(entries):
    return [
        {**one, "from_id": f"user{'ABC'[int(one['from_id'][4:])]}", "from": None} for one in entries
    ]


@pytest.mark.parametrize("layout", ["one space a level", "one line"])
def test_two_messages_with_the_same_id_are_both_kept_and_counted(tmp_path, layout):
    talk = [entry(1, 1, "a"), entry(2, 1, "b", 1), entry(2, 2, "c", 2), entry(3, 1, "d", 3)]

    reading = read(write(tmp_path, LAYOUTS[layout](chat(*talk))))

    assert reading.texts == ["a", "b", "c", "d"]
    assert len(set(reading.ids)) == 4
    assert reading.ids[1] == 2
    assert reading.tally.repaired == {"an id that another message also has": 1}


@pytest.mark.parametrize("order", [1, -1], ids=["the message first", "the service entry first"])
def test_a_service_entry_with_the_id_of_a_message_is_kept_beside_it(tmp_path, order):
    same = [entry(2, 1, "b", 1), service(2, "pin_message", 1)][::order]

    reading = read(write(tmp_path, chat(entry(1, 1, "a"), *same, entry(3, 1, "c", 2))))

    assert reading.texts == ["a", "b", "c"]
    assert (reading.counts.messages, reading.counts.service) == (3, 1)
    assert reading.tally.repaired == {"an id that another message also has": 1}


def test_the_same_message_twice_in_a_file_is_one(tmp_path):
    edited = entry(2, 1, "new", 1, edited_unixtime="1709300000")

    reading = read(
        write(tmp_path, chat(entry(1, 1, "a"), entry(1, 1, "a"), entry(2, 1, "b", 1), edited))
    )

    assert reading.texts == ["a", "new"]
    assert not reading.tally.repaired


def test_messages_with_the_same_id_are_kept_once_from_any_number_of_files(tmp_path):
    talk = [entry(0, 1 + n % 2, f"words {n}", n) for n in range(500)]
    paths = [write(tmp_path / name, chat(*talk)) for name in "ab"]

    for given in (paths[:1], paths):
        assert read(*given).texts == [f"words {n}" for n in range(500)]


def test_anonymous_authors_are_people_of_the_chat(tmp_path):
    export = write(tmp_path / "e", chat(*anonymous(conversation())))

    assert [author.messages for author in read(export).authors] == [120, 120]
    build([export], tmp_path / "ds", small())
    dataset = load_dataset(tmp_path / "ds")
    assert len(dataset.roster.people) == 2
    assert len(dataset.train) > 50
    again = small(roster=tmp_path / "ds" / "roster.toml")
    build([export], tmp_path / "ds2", again)
    assert load_dataset(tmp_path / "ds2").content_hash == dataset.content_hash


def test_an_anonymous_author_with_an_excluded_persons_name_is_not_learned_from(tmp_path):
    damaged = [
        entry(9_000 + n, 3, "secretword", 10 + n, from_id="usXr3", **{"from": "Rui"})
        for n in range(9)
    ]
    export = write(tmp_path / "e", chat(*conversation(), *damaged))
    export.with_name("roster.toml").write_text(
        '[[people]]\nname = "Friend 1"\nids = [1]\n[[people]]\nname = "Friend 2"\nids = [2]\n'
        '[[people]]\nname = "Rui"\nids = [3]\nlearn = "no"\n'
    )

    build([export], tmp_path / "ds", small())

    pairs = load_dataset(tmp_path / "ds")
    lines = [line for p in (*pairs.train, *pairs.validation, *pairs.test) for line in p.context]
    assert not any("secretword" in line for line in lines)


def test_a_message_with_a_copied_id_does_not_bound_an_export(tmp_path):
    first = [entry(5, 1, "a"), entry(6, 1, "b", 1), entry(6, 2, "c", 2)]
    late = [entry(7, 1, "d", 300), entry(8, 2, "e", 301)]
    root = tmp_path / "models"
    with merging(root, [write(tmp_path / "1", chat(*late))]) as whole:
        remember(whole)

    with merging(root, [write(tmp_path / "2", chat(*first))]) as whole:
        assert [text for _, text in said(whole)] == ["a", "b", "c", "d", "e"]
