"""A dataset's conversations: computed from its lines, in the same splits as its pairs."""

import pytest

from pipeline.dataset.build import build
from pipeline.dataset.storage import load_dataset
from tests.pipeline.chats import chat, conversation, small, write


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("conversations")
    build([write(folder, chat(*conversation()))], folder / "ds", small())
    return load_dataset(folder / "ds")


def test_each_conversation_stands_in_the_split_of_its_pairs(built):
    found = built.conversations()

    for part in built.summary.splits:
        assert len(found[part.name]) == part.sessions
        assert sum(map(len, found[part.name])) == part.lines
        assert found[part.name][0][0].at == part.first
    pairs = {name: getattr(built, name) for name in found}
    for name, conversations in found.items():
        times = {said.at for conversation in conversations for said in conversation}
        assert {pair.sent_at for pair in pairs[name]} <= times
        assert all(
            pair.sent_at not in times for other in pairs if other != name for pair in pairs[other]
        )


def test_conversations_come_in_order_of_time_and_so_do_their_lines(built):
    for conversations in built.conversations().values():
        starts = [conversation[0].at for conversation in conversations]
        assert starts == sorted(starts)
        for one in conversations:
            assert [said.at for said in one] == sorted(said.at for said in one)
