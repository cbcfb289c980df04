"""The index of training messages: it finds copies and contains no words."""

import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.chat.words import split_words
from model.errors import ArtifactError
from model.speaking.copy_index import (
    RUN_LENGTH,
    SALT_BYTES,
    CopyIndex,
    open_index,
    write_index,
)

LONG = "On Monday I took the old boat out, and Zé couldn't believe it was mine"
SHORT = "the boat is called Amália"
SAID = [
    ("Hugo", LONG),
    ("Hugo", SHORT),
    ("Hugo", "good night all"),
    *[(name, "how are you today?") for name in ("Hugo", "Raul")],
    *[("Raul", "I will be there soon")] * 3,
    ("Raul", "我今天不想去上班了因为下雨"),
]


@pytest.fixture
def index(tmp_path):
    write_index(tmp_path / "lines", SAID, bytes(range(SALT_BYTES)))
    return open_index(tmp_path / "lines")


@pytest.mark.parametrize(
    "messages",
    [
        [LONG],
        ["and then on monday i took the OLD boat out"],
        ["on monday: I took, the old... boat out"],
        ["on monday I took", "the old boat out"],
        ["out! and ze couldnt believe it was mine"],
        [SHORT],
        ["The boat is called AMALIA!!"],
        ["the boat is calledamália"],
        ["well", "the boat is called Amália"],
        ["the boat is", "called Amália"],
        ["我今天不想去上班了"],
    ],
    ids=["a whole message", "eight words of it", "the same with other punctuation",
         "the same in two messages", "without accents and apostrophes", "a whole shorter message",
         "in other case", "with a space less", "after a word of one's own", "broken in two",
         "eight characters of a script without spaces"],
)  # fmt: skip
def test_a_copy_is_found(index, messages):
    assert index.contains(messages)


@pytest.mark.parametrize(
    "messages",
    [
        ["monday i took the old boat out"],
        ["on monday I took the new old boat out"],
        ["good night all"],
        ["how are you today?"],
        ["I will be there soon"],
        ["the boat is called Amália, I think"],
        ["😂"],
        [],
    ],
    ids=["seven words in a row", "a word between them", "a line of three words",
         "what several people say", "what one says again and again",
         "a short message within a longer one", "no words", "nothing"],
)  # fmt: skip
def test_text_that_is_no_copy_passes(index, messages):
    assert not index.contains(messages)


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=60), max_size=4))
def test_any_message_of_eight_words_or_more_is_found(texts):
    said = [f"a b c d e f g {text} h" for text in texts]
    salt = bytes(SALT_BYTES)

    hashes = _hashes_of(said, salt)

    assert all(CopyIndex(salt, hashes).contains([message]) for message in said)
    assert all(len(split_words(message)) >= RUN_LENGTH for message in said)


def test_the_index_contains_no_words_and_is_private_to_its_owner(tmp_path, index):
    written = (tmp_path / "lines").read_bytes()

    assert b"boat" not in written.lower()
    assert len(written) < 40 + 8 * 20
    assert stat.S_IMODE((tmp_path / "lines").stat().st_mode) == 0o600


def test_equal_lines_have_other_hashes_with_another_salt(tmp_path):
    for name, salt in (
        ("a", b"a" * SALT_BYTES),
        ("b", b"b" * SALT_BYTES),
        ("c", b"a" * SALT_BYTES),
    ):
        write_index(tmp_path / name, SAID, salt)

    first, second, again = (set(open_index(tmp_path / name).hashes) for name in "abc")

    assert first == again
    assert first.isdisjoint(second)


def test_an_empty_index_finds_nothing(tmp_path):
    assert write_index(tmp_path / "lines", [], bytes(SALT_BYTES)) == 0
    assert not open_index(tmp_path / "lines").contains([LONG])


@pytest.mark.parametrize(
    "harm",
    [lambda _: b"", lambda found: found[:-3], lambda found: found + b"12345678",
     lambda found: b"x" + found[1:]],
    ids=["empty", "cut", "too long", "something else"],
)  # fmt: skip
def test_a_damaged_index_is_refused(tmp_path, index, harm):
    path = tmp_path / "lines"
    path.write_bytes(harm(path.read_bytes()))

    with pytest.raises(ArtifactError, match="train again"):
        open_index(path)


def test_a_missing_index_is_refused(tmp_path):
    with pytest.raises(ArtifactError, match="cannot be read"):
        open_index(tmp_path / "lines")


def _hashes_of(messages, salt):
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        write_index(Path(folder) / "lines", [("Hugo", message) for message in messages], salt)
        return list(open_index(Path(folder) / "lines").hashes)
