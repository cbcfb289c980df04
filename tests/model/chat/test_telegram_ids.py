import pytest

from model.chat.telegram_ids import is_name_based_id, is_non_telegram_id, to_author_id, to_chat_id

USER, CHAT = 2**32, 2 * 2**32
SUPERGROUP = -1_000_000_000_077


@pytest.mark.parametrize(
    ("kind", "chat_id"),
    [
        ("private_group", -77),
        ("private_supergroup", SUPERGROUP),
        ("public_supergroup", SUPERGROUP),
        ("private_channel", SUPERGROUP),
        ("public_channel", SUPERGROUP),
        ("personal_chat", 77),
        ("bot_chat", 77),
        ("saved_messages", 77),
        ("replies", 77),
        ("verification_codes", 77),
        (None, 77),
    ],
)
def test_a_chat_id_is_converted_to_the_bot_apis_form(kind, chat_id):
    assert to_chat_id(kind, 77) == chat_id


@pytest.mark.parametrize(
    ("from_id", "author_id"),
    [
        ("user7", 7),
        ("chat7", -7),
        ("channel7", -1_000_000_000_007),
        ("user9007199254740991", 2**53 - 1),
        (7, 7),
        (USER + 7, 7),
        (CHAT + 8, -1_000_000_000_008),
        (CHAT + 77, SUPERGROUP),
        (77, SUPERGROUP),
    ],
    ids=[
        "a user",
        "a group",
        "a channel",
        "a large id",
        "the first era's number",
        "the second era's user",
        "the second era's channel",
        "the second era's name for this very chat",
        "the first era's name for this very chat",
    ],
)
def test_an_author_id_is_converted_to_the_bot_apis_form(from_id, author_id):
    assert to_author_id(from_id, "Ana", SUPERGROUP) == author_id


def test_a_basic_group_in_old_number_form_keeps_the_chats_id():
    assert to_author_id(CHAT + 77, "Friends", -77) == -77


def test_an_author_without_an_id_gets_one_from_the_name():
    ana, again, rui = (to_author_id(None, name, 1) for name in ("Ana", "Ana", "Rui"))

    assert ana == again != rui
    assert is_name_based_id(ana)
    assert not is_name_based_id(SUPERGROUP)


@pytest.mark.parametrize("from_id", ["", " ", 0, -7, 2**63, 1.5, True, [], {}])
def test_another_form_of_author_is_refused(from_id):
    with pytest.raises(ValueError, match="from_id"):
        to_author_id(from_id, "Ana", 1)


FOREIGN = [
    "7",
    "user",
    "user-7",
    "person7",
    "userA",
    "user٣x",
    "user٣",
    "user" + 30 * "9",
    "a" * 999,
]


def test_an_id_that_is_not_telegrams_becomes_a_number_that_no_account_has():
    numbers = [to_author_id(from_id, "Ana", 1) for from_id in FOREIGN]

    assert len(set(numbers)) == len(FOREIGN)
    assert numbers == [to_author_id(from_id, "Rui", 2) for from_id in FOREIGN]
    assert all(is_non_telegram_id(number) and not is_name_based_id(number) for number in numbers)
    assert not is_non_telegram_id(to_author_id(None, "Ana", 1))
    assert not is_non_telegram_id(SUPERGROUP)


@pytest.mark.parametrize("name", [None, "", 7])
def test_an_author_with_neither_id_nor_name_is_refused(name):
    with pytest.raises(ValueError, match="from_id None"):
        to_author_id(None, name, 1)
