"""A chat cut in three, retrained piece by piece, is the whole chat again."""

from tests.pipeline.chats import chat, conversation, write
from tests.pipeline.retrain.dumps import dump
from tests.pipeline.retrain.history_check import history_and_export
from tests.pipeline.retrain.retrain_runner import RetrainRunner


def test_a_small_chat_cut_in_three_is_whole_again_after_two_retrainings(tmp_path):
    runner, said = RetrainRunner(tmp_path), conversation(60)
    messages = [*said[:6], *said[7:]]  # one was deleted after the first export

    runner.first(20)
    runner.run(chat(*messages[:480]), no_live_bot=True)
    runner.run(dump(*messages[400:]))

    kept, whole = history_and_export(runner.root, write(tmp_path / "whole", chat(*messages)))
    assert kept == whole
    assert len(kept.pairs) > 100
    assert [name[:4] for name in runner.registry.names] == ["0001", "0002", "0003"]
    assert runner.receipt(3)["messages"] == kept.messages == len(messages)
