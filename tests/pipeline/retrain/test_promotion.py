"""Which version serves in the end, which stay, and what their receipts say."""

import re
import shutil
from dataclasses import replace

import pytest
from click.testing import CliRunner

import pipeline.retrain.run
from model.artifacts.artifact import LearnedChat
from model.artifacts.registry import list_receipts
from model.chat.person import Person
from model.chat.roster import Roster
from model.errors import ArtifactError, BaseError, DatasetError, TrainingError
from pipeline.cli.main import app
from pipeline.evaluation.evaluate import GATE
from pipeline.versions.erasure import list_datasets
from pipeline.versions.receipt import show_receipt
from tests.model.fake_artifacts import make
from tests.pipeline.chats import chat, conversation
from tests.pipeline.retrain.dumps import decision, dump, played
from tests.pipeline.retrain.retrain_runner import CHAT, NEW, Killed, card, judged


@pytest.mark.parametrize(
    ("new", "reason"),
    [
        (card(attribution=0.45), "attribution fell from 0.600 to 0.450"),
        (card(right_voice=0.55), "right voice fell from 0.700 to 0.550"),
        (card(copied=0.2), "copied lines rose from 0.0% to 20.0%"),
        (card(private=1), "private data in 1 of its lines"),
    ],
    ids=["whose lines", "right voice", "copying", "private data"],
)
def test_what_is_worse_does_not_serve(running, new, reason):
    running.cards[2] = new

    result = running.run(chat(*NEW), no_live_bot=True)

    assert not result.promoted
    assert reason in result.message
    assert running.registry.current.startswith("0001-")
    assert reason in running.receipt(2)["reasons"][0]


def test_a_version_worse_only_by_chance_is_promoted(running):
    running.cards[2] = card(attribution=0.58, right_voice=0.68)

    assert running.run(chat(*NEW), no_live_bot=True).promoted


def test_a_reason_forces_it_and_is_recorded(running):
    running.cards[2] = card(attribution=0.1)

    result = running.run(chat(*NEW), no_live_bot=True, force_promotion="a year has passed")

    assert result.promoted
    assert running.receipt(2)["forced"] == "a year has passed"
    assert "a year has passed" in running.page(result)


def test_a_first_version_that_tells_secrets_does_not_serve(runner):
    runner.cards[1] = card(private=2)

    result = runner.first()

    assert not result.promoted
    assert runner.registry.current is None


def test_versions_that_do_not_pass_are_kept_no_longer_than_others(running):
    running.cards.update({n: card(private=1) for n in (2, 3, 4)})

    for sessions in (45, 70, 95):
        running.run(chat(*conversation(sessions)), no_live_bot=True, keep=2)

    assert [name[:4] for name in running.registry.names] == ["0001", "0003", "0004"]
    assert running.registry.current.startswith("0001-")


def test_only_so_many_versions_stay_and_what_only_they_needed_goes(running):
    for sessions in (45, 70, 95):
        running.run(chat(*conversation(sessions)), no_live_bot=True, keep=2)

    assert [name[:4] for name in running.registry.names] == ["0003", "0004"]
    assert len(list(list_datasets(running.root))) == 2
    assert len(list_receipts(running.root)) == 4


def test_the_receipt_says_all_and_no_word_of_a_message(running):
    running.run(chat(*NEW), dump(decisions=[decision(2, "optout", 5)], forgotten=[3]))

    told = running.receipt(2)
    page = show_receipt(running.root, running.registry.names[1])
    assert [(one["kind"], one["messages"]) for one in told["files"]] == [
        ("export", 540), ("dump", 0),
    ]  # fmt: skip
    assert len(told["earlier_exports"]) == 1
    assert told["forgotten"] == 1
    assert told["seconds"].keys() >= {"read", "build", "train", "score", "compare"}
    assert told["machine"]
    assert "Friend 2: messages not used, since 2024-03-01, by /optout" in page
    assert not re.search(r"words \d", str(told))
    assert all(len(line) <= 80 for line in page.splitlines())
    assert all(text not in page for text in ("words 7", "words 300"))


def test_the_bots_own_lines_do_not_count_as_forgotten_messages(running):
    lines = [played(5_000 + n, "Friend 2", f"line {n}", 900_000 + n) for n in range(9)]
    running.run(chat(*NEW), dump(*lines))
    forgotten = [3, 5, 7, *range(5_000, 5_005), 6_001, 6_002]

    result = running.run(
        chat(*conversation(70)), dump(*lines[5:], forgotten=forgotten), force_training=True
    )

    told = running.receipt(3)
    assert (told["forgotten"], told["forgotten_ids"]) == (3, 10)
    page = running.page(result)
    assert "forgotten at their authors' request: 3 messages" in page
    assert "7 more forgotten ids" in page


def test_forgotten_messages_are_counted_after_a_killed_run(running):
    files = running.put(chat(*NEW), dump(forgotten=[3, 5]))
    running.killed = "build"
    with pytest.raises(Killed):
        running.run(*files)
    running.killed = None

    running.run(*files)

    assert running.receipt(2)["forgotten"] == 2


def test_without_new_messages_only_a_reason_promotes(runner, tmp_path):
    people = tuple(Person(f"Friend {n}", (n,), imitate="yes") for n in (1, 2))
    made = make(
        tmp_path / "made", roster=Roster(people), chats=(LearnedChat(CHAT, "Friends"),),
        provenance={"trained_at": "2026-01-01T00:00:00+00:00"},
    )  # fmt: skip
    runner.registry.promote(runner.registry.add(made))

    result = runner.run(chat(*NEW), no_live_bot=True, force_training=True)
    forced = runner.run(
        chat(*NEW), no_live_bot=True, force_training=True, force_promotion="checked by hand"
    )

    assert "there are no held-out turns that the current version has not seen" in result.message
    assert not result.promoted
    assert forced.promoted


@pytest.mark.parametrize("kind", [ArtifactError, BaseError, DatasetError])
def test_beside_a_damaged_current_version_the_new_one_waits_and_is_not_lost(running, kind):
    running.cards[1] = kind("it is damaged")

    result = running.run(chat(*NEW), no_live_bot=True)
    running.run(chat(*NEW), no_live_bot=True)

    assert not result.promoted
    assert re.search("0001-.* cannot be evaluated: it is damaged", result.message)
    assert "cannot be evaluated: it is damaged" in running.page(result)
    assert result.version in running.registry.names
    assert (running.receipt(2)["compared_with"], len(running.receipt(2)["scores"])) == (None, 6)


def test_a_new_version_that_cannot_be_evaluated_waits_and_is_not_lost(running):
    running.cards[2] = DatasetError("nobody may be imitated")

    result = running.run(chat(*NEW), no_live_bot=True)

    assert not result.promoted
    assert "it cannot be evaluated: nobody may be imitated" in result.message
    assert "Its surprise at" in running.shown.getvalue()
    assert "it cannot be evaluated: nobody may be imitated" in running.page(result)
    assert result.version in running.registry.names


class TestCurrentVersionWithoutWeights:
    @pytest.fixture
    def running(self, running):
        shutil.rmtree(running.registry.open().weights)
        running.judged.clear()
        return running

    def test_is_asked_about_before_the_training(self, running):
        running.agrees = False

        with pytest.raises(
            TrainingError, match=r"0001-\w+ came without the weights .*: use --yes to train it"
        ):
            running.run(chat(*NEW), no_live_bot=True)

        [question] = running.asked
        assert question.endswith("the new version will be kept but not promoted. Train it anyway?")
        assert len(running.trained) == 1

    def test_leaves_a_new_version_that_waits_with_a_receipt(self, running):
        result = running.run(chat(*NEW), no_live_bot=True)

        assert not result.promoted
        assert f"understudy models promote {result.version[:4]} " in result.message
        page = running.page(result)
        assert "with --with-weights to promote the new version by hand: understudy mod" in page
        assert running.receipt(2)["compared_with"] is None
        assert [name for name, *_ in running.judged] == [result.version]

    def test_is_replaced_for_a_reason_without_a_question(self, running):
        running.agrees = False

        result = running.run(chat(*NEW), no_live_bot=True, force_promotion="new laptop")

        assert result.promoted
        assert "promoted without a comparison" in " ".join(running.shown.getvalue().split())

    def test_is_replaced_without_a_question_if_it_has_learned_withdrawn_words(self, running):
        running.agrees = False

        assert running.run(chat(*NEW), dump(decisions=[decision(2, "optout")])).promoted


class TestWithdrawnWords:
    """The current version was trained on words of Friend 2, who withdrew since."""

    @pytest.fixture
    def retrain(self, running):
        return lambda **more: running.run(
            chat(*NEW), dump(decisions=[decision(2, "optout")]), **more
        )

    def test_stay_in_use_if_the_new_version_is_refused_and_that_is_said(self, running, retrain):
        running.cards[2] = card(attribution=0.1)

        result = retrain()

        current = running.registry.current
        stays = f"{current} was trained on words of Friend 2, who withdrew"
        assert current.startswith("0001-")
        assert f"{stays}, and stays in use; to promote 0002 by hand: under" in result.message
        page = running.page(result)
        assert f"{stays}; it stays in use to promote the new version by hand: understudy" in page

    def test_are_replaced_if_chance_may_explain_that_the_new_version_is_worse(
        self, running, retrain
    ):
        running.cards[1] = judged(card(0.632), 8)
        running.cards[2] = judged(card(attribution=0.267), 8, seed=1)

        result = retrain()

        assert result.promoted
        assert "understudy models purge --person 'Friend 2' --models-dir" in result.message
        assert "who withdrew; it is replaced" in running.page(result)

    def test_are_replaced_although_the_versions_cannot_be_compared(self, running, retrain):
        running.cards[1] = BaseError("it is damaged")

        assert retrain().promoted

    def test_are_not_replaced_by_a_version_that_hardly_trained(self, running, retrain):
        running.cards[1], running.passes = BaseError("it is damaged"), 0.1

        assert "it saw 10% of its training data" in retrain().message


def test_if_turns_are_too_few_to_tell_more_of_them_are_compared(running, monkeypatch):
    running.cards[1] = judged(card(0.632), 8)
    running.cards[2] = judged(card(attribution=0.267), 8, seed=1)
    running.judged.clear()

    monkeypatch.setattr(pipeline.retrain.run, "GATE", replace(GATE, replies=2, scored=2))

    running.run(chat(*NEW), no_live_bot=True)

    assert [(name[:4], size.replies, size.scored) for name, _, size in running.judged] == [
        ("0002", 2, 2), ("0001", 2, 2), ("0002", 10, 10), ("0001", 10, 10),
    ]  # fmt: skip


def test_a_current_version_of_another_prompt_is_replaced(running):
    card = running.root / "versions" / running.registry.current / "model.json"
    card.write_text(card.read_text().replace('"prompt": "', '"prompt": "0'))

    result = running.run(chat(*NEW), no_live_bot=True)

    assert result.promoted
    assert running.receipt(2)["compared_with"] is None
    assert "without a comparison" in " ".join(running.shown.getvalue().split())


def test_a_receipt_is_printed_for_80_columns_also_when_its_version_is_gone(running):
    result = running.run(chat(*NEW), no_live_bot=True)
    version = running.registry.names[0]
    running.registry.remove(version)
    options = ["--receipt", "--models-dir", str(running.root)]

    terminal = CliRunner(env={"COLUMNS": "80"})
    pages = [
        terminal.invoke(app, ["models", "show", number, *options]).stdout for number in ("1", "2")
    ]

    assert result.receipt == f"understudy models show 0002 --receipt --models-dir {running.root}"
    assert pages == [f"{show_receipt(running.root, name)}\n" for name in (version, result.version)]
    assert pages[0].startswith(f"{version}, trained on ")
    assert max(len(line) for page in pages for line in page.splitlines()) <= 80


def test_a_version_without_a_receipt_says_so(running, tmp_path):
    running.registry.add(make(tmp_path / "hand"))
    command = ["models", "show", "2", "--receipt", "--models-dir", str(running.root)]

    refused = CliRunner().invoke(app, command)

    assert "has no receipt: only `understudy retrain` writes" in str(refused.exception)
