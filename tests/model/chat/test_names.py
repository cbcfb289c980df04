import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.chat.names import MAX_NAME, clean_name, fold
from model.chat.person import Person


@pytest.mark.parametrize(
    ("name", "clean"),
    [
        ("Hugo: Silva", "Hugo Silva"),
        ("[bot] Ana\n", "bot Ana"),
        ("🎭 Hugo", "Hugo"),
        ("▁Hugo", "Hugo"),
        ("  ", "somebody"),
        ("", "somebody"),
        ("Joa\u0303o", "João"),
        ("李雷", "李雷"),
        ("x" * 99, "x" * MAX_NAME),
        ("x" * 39 + " y", "x" * 39),
    ],
)
def test_a_cleaned_name_can_start_a_line(name, clean):
    assert clean_name(name) == clean


@given(name=st.text(max_size=60))
def test_a_clean_name_stays_unchanged_and_cannot_end_a_label(name):
    clean = clean_name(name)

    assert clean_name(clean) == clean
    assert clean
    assert not set(clean) & set(":[]\n\r🎭\u2581")
    assert Person(clean, (1,)).name == clean


def test_names_are_equal_without_case_and_accents():
    assert fold("JOÃO") == fold("joao") == fold(unicodedata.normalize("NFD", "João")) == "joao"
    assert [fold(name) for name in ("𝓔𝓿𝓪", "Łukasz", "IŞıL")] == ["eva", "lukasz", "isil"]
