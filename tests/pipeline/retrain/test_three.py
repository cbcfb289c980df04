"""A chat cut in three, retrained piece by piece, is the whole chat again."""

from tests.pipeline.chats import chat, conversation, write
from tests.pipeline.retrain.dumps import dump
from tests.pipeline.retrain.wholeness import kept_and_whole
from tests.pipeline.retrain.workshop import Workshop


def test_a_small_chat_cut_in_three_is_whole_again_after_two_retrainings(tmp_path):
    shop, said = Workshop(tmp_path), conversation(60)
    messages = [*said[:6], *said[7:]]  # one was deleted after the first export

    shop.first(20)
    shop.run(chat(*messages[:480]), no_live_bot=True)
    shop.run(dump(*messages[400:]))

    kept, whole = kept_and_whole(shop.root, write(tmp_path / "whole", chat(*messages)))
    assert kept == whole
    assert len(kept.pairs) > 100
    assert [name[:4] for name in shop.registry.names] == ["0001", "0002", "0003"]
    assert shop.receipt(3)["messages"] == kept.messages == len(messages)
