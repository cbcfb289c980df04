import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.chat.eligibility import add_voice_header, parse_voice_header
from model.chat.roster import clean_name


@given(name=st.text(max_size=50).map(clean_name), words=st.text(min_size=1).filter(str.strip))
def test_a_text_with_a_voice_header_is_parsed(name, words):
    assert parse_voice_header(add_voice_header(name, words)) == (name, words)


@pytest.mark.parametrize(
    "text",
    ["", "hello", "🎭 Hugo", "🎭 Hugo\n", "🎭 Hugo\n  ", "🎭\nhello", "Hugo\nhello",
     " 🎭 Hugo\nhello", "🎭 Hugo: Ana\nhello", "x 🎭 Hugo\nhello"],
)  # fmt: skip
def test_other_texts_have_no_voice_header(text):
    assert parse_voice_header(text) is None
