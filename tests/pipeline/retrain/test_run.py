"""The whole command, from exports to a version that serves; training and judging are fakes."""

import pytest

from model.artifacts.artifact import LearnedChat
from model.chat.person import Person
from model.chat.roster import Roster
from model.errors import ExportError, TrainingError, UnderstudyError
from model.files import locked
from pipeline.dataset.roster_file import read_roster
from pipeline.retrain.history import list_chats
from pipeline.training.checkpoints import STATE
from pipeline.training.run import work_folder
from tests.model.fake_artifacts import make
from tests.pipeline.chats import NOON, chat, conversation, entry
from tests.pipeline.retrain.dumps import dump
from tests.pipeline.retrain.retrain_runner import CHAT, NEW, OLD, VOICES


def test_a_first_export_becomes_a_version_that_serves(runner):
    result = runner.run(chat(*OLD))

    assert result.promoted
    assert runner.registry.current == result.version
    assert len(runner.asked) == 1
    assert "roster.toml" in runner.asked[0]
    assert [p.imitate for p in read_roster(runner.root / "roster.toml").people] == ["ask", "ask"]
    assert [name for name, *_ in runner.judged] == [result.version]


def test_a_roster_that_nobody_looked_at_is_written_and_waits(runner):
    runner.agrees = False
    first = runner.run(chat(*OLD))
    again = runner.run(chat(*OLD))

    assert first.version is None
    assert first.message.startswith("check ")
    assert again.promoted
    assert len(runner.asked) == 1


def test_a_chat_whose_first_version_is_not_made_yet_is_not_mixed_with_another(runner):
    runner.agrees = False
    runner.run(chat(*OLD))

    with pytest.raises(ExportError, match="contains Other, not Friends"):
        runner.run(chat(*OLD, id=66, name="Other"))

    assert [one.name for one in list_chats(runner.root)] == ["Friends"]


def test_a_first_export_that_is_refused_with_another_chat_s_dump_leaves_nothing_behind(runner):
    with pytest.raises(ExportError, match="contains Work, not Friends"):
        runner.run(chat(*OLD), dump(*NEW, name="Work", id=8))

    assert not list(runner.root.rglob("roster.toml"))
    assert list_chats(runner.root) == []


def test_the_demo_s_version_is_no_version_of_one_s_own_group(runner, tmp_path):
    demo = make(tmp_path / "demo", chats=(LearnedChat(-(10**12 + 8), "Five friends"),), public=True)
    runner.registry.promote(runner.registry.add(demo))

    first = runner.first()

    assert first.promoted
    assert runner.receipt(2)["compared_with"] is None
    assert runner.registry.names[1] == runner.registry.current


@pytest.mark.parametrize(("passes", "is_promoted"), [(0.49, False), (0.5, True)])
def test_the_demo_s_version_is_not_replaced_by_one_that_hardly_trained(
    runner, tmp_path, passes, is_promoted
):
    demo = make(tmp_path / "demo", chats=(LearnedChat(-(10**12 + 8), "Five friends"),), public=True)
    runner.registry.promote(runner.registry.add(demo))
    runner.passes = passes

    first = runner.first()

    assert first.promoted is is_promoted
    assert ("it saw 49% of its training data," in first.message) is not is_promoted
    assert ("understudy models promote 0002 " in first.message) is not is_promoted
    assert "was trained on a public chat" in runner.page(first)


def test_a_first_version_is_promoted_however_little_it_trained(runner):
    runner.passes = 0.01

    assert runner.first().promoted


def test_the_roster_beside_a_first_export_is_taken(runner):
    (file,) = runner.put(chat(*OLD))
    (file.parent / "roster.toml").write_text(VOICES.format(1) + VOICES.format(2))

    result = runner.run(file)

    assert result.promoted
    assert runner.asked == []
    assert [p.imitate for p in read_roster(runner.root / "roster.toml").people] == ["yes", "yes"]


def test_a_fresh_export_and_a_dump_make_the_next_version(running):
    result = running.run(chat(*NEW), dump())

    assert result.promoted
    assert result.message.endswith("is now the current version, with 300 new messages")
    assert result.next_command.startswith("understudy chat --as 'Friend 1' --models-dir ")
    assert "saw fell from 1.00 to 0.50" in running.shown.getvalue()
    assert "in 60 of 100 cases" in running.shown.getvalue()
    assert running.registry.names[-1] == running.registry.current == result.version
    assert [name[:4] for name, *_ in running.judged] == ["0001", "0002", "0001"]


def test_without_a_dump_nobody_s_withdrawal_is_passed_over(running):
    with pytest.raises(UnderstudyError, match="there is no dump of the bot") as told:
        running.run(chat(*NEW))

    assert "\n" not in str(told.value)
    assert len(running.registry.names) == 1


def test_too_little_that_is_new_is_politely_refused(running):
    result = running.run(chat(*conversation(30)), no_live_bot=True)

    assert result.version is None
    assert result.message.startswith("only 120 new messages since 2024-03-03")
    assert running.run(chat(*conversation(30)), no_live_bot=True, force_training=True).promoted


def test_the_same_export_again_brings_nothing_new(running):
    result = running.run(chat(*OLD), no_live_bot=True)

    assert result.message.startswith("no new messages since")
    assert len(running.registry.names) == 1


def test_a_message_of_the_future_is_skipped_and_ages_nothing(running):
    late = entry(9_000, 1, "from the future", 40 * 365 * 86_400)
    fresh = conversation(70)
    running.run(chat(*NEW, late), no_live_bot=True)

    result = running.run(chat(*fresh[:10], *fresh[12:], late), no_live_bot=True)

    assert result.promoted
    assert running.receipt(3)["new"] == 300
    assert running.receipt(3)["deleted"] == 0  # a damaged export deletes nothing


def test_an_export_of_another_chat_is_refused_with_both_names(running):
    with pytest.raises(ExportError, match="contains Work, not Friends"):
        running.run(chat(*NEW, name="Work", id=8), no_live_bot=True)


def test_two_chats_of_one_name_are_told_apart_by_their_ids(running):
    with pytest.raises(ExportError, match=r"contains Friends \(-1000000000008\), not Friends"):
        running.run(chat(*NEW, id=8), no_live_bot=True)


def test_a_shorter_export_is_asked_about(running):
    shorter = chat(*OLD[:4], *OLD[8:], *NEW[240:243])
    running.agrees = False

    with pytest.raises(
        ExportError, match="239 messages of Friends, but the history has 240; 4 of these"
    ):
        running.run(shorter, no_live_bot=True)
    running.agrees = True
    running.run(shorter, no_live_bot=True, force_training=True)

    assert "would be deleted" in running.asked[-1]
    assert running.receipt(2)["messages"] == 239


def test_a_shorter_export_that_was_merged_before_is_not_asked_about_again(running):
    (shorter,) = running.put(chat(*NEW[240:]))
    running.run(chat(*NEW), no_live_bot=True)
    running.run(shorter, no_live_bot=True, force_training=True)

    running.agrees = False
    again = running.run(shorter, no_live_bot=True, force_training=True)

    assert len(running.asked) == 1
    assert again.promoted


def test_two_cannot_run_at_once(running):
    with (
        locked(running.root / "lock", wait=False),
        pytest.raises(TrainingError, match="training or retraining is running"),
    ):
        running.run(chat(*NEW), no_live_bot=True)


def test_a_version_that_retraining_did_not_make_is_the_start_of_a_history(runner, tmp_path):
    people = tuple(Person(f"Friend {n}", (n,), imitate="yes") for n in (1, 2))
    made = make(
        tmp_path / "made", roster=Roster(people), chats=(LearnedChat(CHAT, "Friends"),),
        provenance={"trained_at": NOON.isoformat()},
    )  # fmt: skip
    (made / "weights").mkdir()
    runner.registry.promote(runner.registry.add(made))

    result = runner.run(chat(*NEW), no_live_bot=True)

    assert result.promoted
    assert runner.receipt(2)["new"] == 539
    assert read_roster(runner.root / "roster.toml").find_by_id(1).imitate == "yes"


def stopped(runner, files):
    """Leave the checkpoint of a retraining that was stopped, and return it."""
    whole = runner._train
    left = []

    def interrupted(dataset, start, registry, settings, decoding, bar, *, resume=False):
        left.append(work_folder(dataset, start, registry) / "checkpoint-5")
        left[0].mkdir(parents=True)
        (left[0] / STATE).touch()
        raise TrainingError("stopped")

    runner._train = interrupted
    with pytest.raises(TrainingError, match="stopped"):
        runner.run(*files, no_live_bot=True)
    runner._train = whole
    return left[0]


def test_a_checkpoint_is_never_discarded_silently(running):
    files = running.put(chat(*NEW))
    checkpoint = stopped(running, files)
    running.agrees = False

    with pytest.raises(TrainingError, match="use --resume to continue from it, or --restart") as e:
        running.run(*files, no_live_bot=True)

    assert checkpoint.is_dir()
    assert str(checkpoint) in str(e.value)
    assert "\n" not in str(e.value)
    assert running.asked == [f"An interrupted training run left {checkpoint}. Resume it?"]


@pytest.mark.parametrize(
    ("options", "resumed", "asked"),
    [({}, True, 1), ({"resume": True}, True, 0), ({"restart": True}, False, 0)],
    ids=["agreed to", "--resume", "--restart"],
)
def test_a_checkpoint_is_resumed_or_discarded_as_requested(running, options, resumed, asked):
    files = running.put(chat(*NEW))
    stopped(running, files)
    whole, seen = running._train, []
    running._train = lambda *words, resume: [seen.append(resume), whole(*words)][1]

    running.run(*files, no_live_bot=True, **options)

    assert seen == [resumed]
    assert len(running.asked) == asked
