"""Options that dataclasses declare: their values, defaults and checks."""

from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo

import pytest

from model.options import check_options, option, options_of


@dataclass
class Settings:
    count: int = option(3, "A number", least=1, most=20)
    rate: float = option(0.5, "A rate", above=0, most=5)
    weight: float = option(1.0, "A weight", least=0)
    kind: Literal["alike", "uniform"] = option("alike", "A word")
    is_public: bool = option(False, "A flag", name="public")
    file: Path | None = option(None, "A file")
    names: tuple[str, ...] = option((), "Names")
    gap: timedelta = option(timedelta(minutes=120), "Minutes", above=0)
    zone: tzinfo | None = option(None, "A zone", default_text="this machine's")
    since: datetime | None = option(None, "A day")
    private: int = 7


OPTIONS = {one.field: one for one in options_of(Settings)}


def test_names_types_metavars_and_defaults_come_from_the_fields():
    found = [(one.name, one.metavar, one.shown_default) for one in OPTIONS.values()]

    assert found == [
        ("count", "N", "3"),
        ("rate", "N", "0.5"),
        ("weight", "N", "1"),
        ("kind", "NAME", "alike"),
        ("public", "NAME", ""),
        ("file", "PATH", ""),
        ("names", "NAME", ""),
        ("gap", "N", "120"),
        ("zone", "NAME", "this machine's"),
        ("since", "NAME", ""),
    ]


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("count", "20", 20),
        ("rate", "1e-4", 1e-4),
        ("kind", "uniform", "uniform"),
        ("is_public", "true", True),
        ("file", "a/b", Path("a/b")),
        ("gap", "1.5", timedelta(seconds=90)),
        ("zone", "Europe/Lisbon", ZoneInfo("Europe/Lisbon")),
        ("since", "2024-03-31", datetime(2024, 3, 31)),  # noqa: DTZ001  the command knows the zone
    ],
)
def test_a_word_is_converted_to_the_field_s_type(name, text, value):
    assert OPTIONS[name].parse(text) == value


@pytest.mark.parametrize(
    ("name", "text", "values"),
    [
        ("count", "x", "a whole number from 1 to 20"),
        ("count", "1.5", "a whole number from 1 to 20"),
        ("count", "21", "a whole number from 1 to 20"),
        ("rate", "0", "a number above 0 and up to 5"),
        ("weight", "nan", "a number of 0 or more"),
        ("weight", "inf", "a number of 0 or more"),
        ("kind", "soup", "alike or uniform"),
        ("is_public", "maybe", "true or false"),
        ("gap", "9e99", "a number above 0"),
        ("zone", "../etc/passwd", "a time zone such as Europe/Lisbon"),
        ("since", "yesterday", "a day such as 2024-03-31"),
    ],
)
def test_a_wrong_word_is_named_with_what_to_give(name, text, values):
    with pytest.raises(ValueError, match=f"^must be {values}, not {text}$"):
        OPTIONS[name].parse(text)


@pytest.mark.parametrize(
    ("name", "value", "read"),
    [
        ("rate", 1, 1.0),
        ("is_public", True, True),
        ("names", ["Ana", "Hugo"], ("Ana", "Hugo")),
        ("names", "Ana", ("Ana",)),
        ("since", datetime(2024, 3, 31).date(), datetime(2024, 3, 31)),  # noqa: DTZ001
    ],
)
def test_a_value_of_a_toml_file_is_converted(name, value, read):
    assert OPTIONS[name].read(value) == read


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("count", "3", '"3"'),
        ("count", True, "true"),
        ("count", 2.5, "2.5"),
        ("is_public", "true", '"true"'),
        ("is_public", 1, "1"),
        ("kind", 3, "3"),
        ("file", ["a"], "['a']"),
        ("gap", {"minutes": 3}, "{'minutes': 3}"),
        ("names", [1], "1"),
    ],
)
def test_a_value_of_a_toml_file_with_another_type_is_refused(name, value, shown):
    with pytest.raises(ValueError, match="^must be .*, not ") as caught:
        OPTIONS[name].read(value)

    assert str(caught.value).endswith(f", not {shown}")


@pytest.mark.parametrize("value", ["8", True, [8], 0, 21, 1.0])
def test_a_dataclass_is_checked_by_what_it_declares(value):
    with pytest.raises(ValueError, match="^count: must be a whole number from 1 to 20, not "):
        check_options(Settings(count=value))

    check_options(Settings())
