from tests.pipeline.chats import chat, entry, service, topic_created, write
from tests.pipeline.export.reading import read


def topics(tmp_path, *entries):
    return {m.message_id: m for m in read(write(tmp_path, chat(*entries))).messages}


def test_a_topic_is_found_by_following_replies_to_its_root(tmp_path):
    entries = [
        topic_created(10, "Trips"),
        topic_created(11, "Food"),
        entry(12, 1, "in trips", reply_to_message_id=10),
        entry(13, 2, "an answer in trips", reply_to_message_id=12),
        entry(14, 1, "an answer to that", reply_to_message_id=13),
        entry(15, 2, "in food", reply_to_message_id=11),
        entry(16, 1, "in general"),
        entry(17, 2, "an answer in general", reply_to_message_id=16),
        entry(18, 1, "to something deleted", reply_to_message_id=9),
    ]

    found = topics(tmp_path, *entries)

    assert [found[n].topic_id for n in range(12, 19)] == [10, 10, 10, 11, None, None, None]
    assert [found[n].reply_to for n in range(12, 19)] == [None, 12, 13, None, None, 16, 9]


def test_messages_come_topic_by_topic_general_first(tmp_path):
    entries = [
        topic_created(10, "Trips"),
        topic_created(11, "Food"),
        entry(12, 1, "food", 10, reply_to_message_id=11),
        entry(13, 1, "trips", 20, reply_to_message_id=10),
        entry(14, 1, "general", 30),
        entry(15, 1, "more trips", 15, reply_to_message_id=13),
    ]

    reading = read(write(tmp_path, chat(*entries)))

    assert reading.texts == ["general", "more trips", "trips", "food"]
    assert reading.counts.topics == 2


def test_a_chain_leads_through_service_messages_and_messages_without_words(tmp_path):
    entries = [
        topic_created(10, "Trips"),
        service(11, "pin_message", reply_to_message_id=10),
        entry(12, 1, "", reply_to_message_id=11),
        entry(13, 2, "x", reply_to_message_id=12),
    ]

    assert topics(tmp_path, *entries)[13].topic_id == 10


def test_a_topic_that_was_made_as_an_answer_is_a_topic_of_its_own(tmp_path):
    entries = [
        topic_created(10, "Trips"),
        topic_created(11, "Food", reply_to_message_id=10),
        entry(12, 1, "x", reply_to_message_id=11),
    ]

    assert topics(tmp_path, *entries)[12].topic_id == 11


def test_an_answer_to_another_chat_leads_to_no_topic(tmp_path):
    there = entry(11, 1, "x", reply_to_message_id=10, reply_to_peer_id="channel5")

    assert topics(tmp_path, topic_created(10, "Trips"), there)[11].topic_id is None


def test_a_very_long_chain_of_replies_and_one_that_bites_its_tail_end(tmp_path):
    chain = [entry(n, 1, "x", reply_to_message_id=n - 1) for n in range(2, 20_000)]
    ring = [
        entry(30_001, 1, "y", reply_to_message_id=30_002),
        entry(30_002, 1, "y", reply_to_message_id=30_001),
        entry(30_003, 1, "y", reply_to_message_id=30_003),
    ]

    found = topics(tmp_path, topic_created(1, "Long"), *reversed(chain), *ring).values()

    assert {m.topic_id for m in found if m.text == "x"} == {1}
    assert {m.topic_id for m in found if m.text == "y"} == {None}
