"""Doubtful pairs in a table that a person reads in a spreadsheet, and what they strike out."""

import csv
import io
import stat

import pytest

from model.errors import DatasetError
from pipeline.dataset.build import build
from pipeline.dataset.review import Review, read_removed, write_review
from pipeline.dataset.storage import load_dataset
from tests.pipeline.chats import chat, conversation, entry, pair, small, write

COLUMNS = ["remove", "pair", "date", "why", "voice", "context", "target"]
LINK, NUMBER = "-1000000000077/3002", "-1000000000077/3004"


@pytest.fixture
def table(tmp_path):
    return tmp_path / "doubts.csv"


@pytest.fixture
def export(tmp_path):
    """A chat with a lone link and a lone number, both in its first session."""
    doubtful = [
        entry(3001, 1, "where?", -7_000),
        entry(3002, 2, "https://example.org/here", -6_990),
        entry(3003, 1, "how many?", -6_980),
        entry(3004, 2, "42", -6_970),
    ]
    return write(tmp_path, chat(*doubtful, *conversation()))


@pytest.fixture
def rebuild(export, tmp_path, table):
    """Build again into the same place; return the summary and the ids of all pairs."""

    def run(**choices):
        summary = build([export], tmp_path / "ds", small(**choices))
        loaded = load_dataset(tmp_path / "ds")
        return summary, {one.id for one in (*loaded.train, *loaded.validation, *loaded.test)}

    return run


def rows(table):
    text = table.read_bytes().decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text, newline="")))


def saved(table, change, encoding="utf-8", **form):
    """Save the table as a spreadsheet does, its rows changed."""
    edited = [change(row) for row in rows(table)]
    with table.open("w", encoding=encoding, newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, **form)
        writer.writeheader()
        writer.writerows(edited)


def mark_removed(table, number, mark="x"):
    saved(table, lambda row: {**row, "remove": mark} if number in row["pair"] else row)


def test_doubtful_pairs_are_listed_with_why(rebuild, table):
    _, ids = rebuild(review=table)

    assert rows(table) == [
        {
            "remove": "",
            "pair": f"pair {LINK}",
            "date": "2024-03-01 10:03",
            "why": "lone link",
            "voice": "Friend 2",
            "context": "Friend 1: where?",
            "target": "https://example.org/here",
        },
        {
            "remove": "",
            "pair": f"pair {NUMBER}",
            "date": "2024-03-01 10:03",
            "why": "lone number",
            "voice": "Friend 2",
            "context": "Friend 2: https://example.org/here\nFriend 1: how many?",
            "target": "42",
        },
    ]
    assert {LINK, NUMBER} <= ids


def test_without_a_review_no_table_is_written(rebuild, tmp_path):
    _, ids = rebuild()

    assert {LINK, NUMBER} <= ids
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ds", "result.json"]


@pytest.mark.parametrize("mark", ["x", "X", " yes ", "1"])
def test_a_pair_that_was_struck_stays_out_in_every_build_that_follows(
    rebuild, table, tmp_path, mark
):
    rebuild(review=table)
    mark_removed(table, LINK, mark)

    with_table, ids = rebuild(review=table)
    without, ids_without = rebuild()

    assert LINK not in ids | ids_without
    assert NUMBER in ids & ids_without
    assert with_table.removed == without.removed == 1
    assert with_table.content_hash == without.content_hash
    assert (tmp_path / "ds" / "removed.txt").read_text() == f"{LINK}\n"
    assert [row["remove"] for row in rows(table)] == ["x", ""]


def test_what_is_no_longer_struck_comes_back(rebuild, table):
    first, _ = rebuild(review=table)
    mark_removed(table, LINK)
    rebuild(review=table)
    mark_removed(table, LINK, " ")

    summary, ids = rebuild(review=table)

    assert LINK in ids
    assert (summary.removed, summary.content_hash) == (0, first.content_hash)


def test_what_was_struck_before_is_in_a_new_table_with_its_mark(rebuild, table):
    rebuild(review=table)
    mark_removed(table, NUMBER)
    rebuild(review=table)
    table.unlink()

    summary, ids = rebuild(review=table)

    assert NUMBER not in ids
    assert summary.removed == 1
    assert [(row["remove"], row["pair"]) for row in rows(table)] == [
        ("", f"pair {LINK}"),
        ("x", f"pair {NUMBER}"),
    ]


def test_a_pair_that_nobody_doubted_can_be_struck_by_its_id(rebuild, tmp_path):
    _, ids = rebuild()
    ordinary = min(ids - {LINK, NUMBER})
    (tmp_path / "ds" / "removed.txt").write_text(f"{ordinary}\n")

    summary, left = rebuild()

    assert left == ids - {ordinary}
    assert summary.removed == 1


def test_what_was_struck_is_context_all_the_same(rebuild, table, tmp_path):
    rebuild(review=table)
    mark_removed(table, LINK)

    rebuild(review=table)

    seen = {line for one in load_dataset(tmp_path / "ds").train for line in one.context}
    assert "Friend 2: https://example.org/here" in seen


def test_a_table_with_fewer_rows_leaves_what_it_does_not_show(rebuild, table):
    rebuild(review=table)
    mark_removed(table, LINK)
    rebuild(review=table)
    kept = [row for row in rows(table) if LINK not in row["pair"]]
    table.write_text(",".join(COLUMNS) + "\n" + ",".join(kept[0][c] for c in COLUMNS[:4]) + ",,,\n")

    _, ids = rebuild(review=table)

    assert LINK not in ids
    assert NUMBER in ids


@pytest.mark.parametrize("start", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", '=HYPERLINK("x")'])
def test_no_cell_is_a_formula_to_a_spreadsheet(table, start):
    review = Review(frozenset())
    voice = start.strip() or "x"
    review.passes(pair(10, start, context=(f"{start}: {start}",), voice=voice))

    write_review(table, review)

    (row,) = rows(table)
    assert row["target"] == f"'{start}"
    assert not any(row[column][:1] in set("=+-@\t\r") for column in COLUMNS if row[column])


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"quoting": csv.QUOTE_ALL, "lineterminator": "\n"},
        {"delimiter": ";", "encoding": "cp1252"},
        {"delimiter": ";", "quoting": csv.QUOTE_ALL, "encoding": "utf-8-sig"},
    ],
    ids=["as written", "all quoted", "a German Excel's", "semicolons and quotes"],
)
def test_ids_survive_a_spreadsheet(table, form):
    review = Review(frozenset())
    for number in (10, 20):
        review.passes(pair(number, "é; então, e?", context=("João: é; então, e?",)))
    write_review(table, review)

    saved(table, lambda row: {**row, "remove": "x" if "20" in row["pair"] else ""}, **form)

    assert read_removed(table, table.with_name("none")) == {"-5/20"}


def test_no_id_is_a_number_a_date_or_a_sum_to_a_spreadsheet(rebuild, table):
    rebuild(review=table)

    assert all(row["pair"].startswith("pair ") for row in rows(table))


def test_a_target_with_quotes_breaks_and_commas_is_read_back(table):
    review = Review(frozenset({"-5/10"}))
    words = 'a "b", c;\n\nd\r\ne'
    assert not review.passes(pair(10, words))

    write_review(table, review)

    (row,) = rows(table)
    assert (row["remove"], row["target"]) == ("x", words)
    assert read_removed(table, table.with_name("none")) == {"-5/10"}


def test_the_table_is_its_owners_alone_and_opens_as_utf_8(rebuild, table):
    rebuild(review=table)

    assert stat.S_IMODE(table.stat().st_mode) == 0o600
    assert table.read_bytes().startswith(b"\xef\xbb\xbf")


def test_a_table_in_a_new_folder_is_written(rebuild, tmp_path):
    table = tmp_path / "a b" / "c" / "doubts.csv"

    rebuild(review=table)

    assert len(rows(table)) == 2
    assert stat.S_IMODE(table.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    "content",
    [
        b"name,age\nAna,3\n",
        b"name,age\n",
        b"Dear diary\n",
        b"pair,why\npair -5/1,echo\n",
        b"remove,pair\nx\n",
        b"{}\n[]\n",
        b"\xff\xfe\x00\x01",
        b"PK\x03\x04 a spreadsheet's own format \x00\n",
    ],
    ids=[
        "another table", "another table's heading", "a text", "no marks", "a row cut short",
        "JSON", "no UTF-8", "an .xlsx",
    ],
)  # fmt: skip
def test_another_file_is_refused_in_one_line_and_stays_as_it_is(rebuild, table, content):
    table.write_bytes(content)

    with pytest.raises(DatasetError, match="was not written by `build --review`") as caught:
        rebuild(review=table)

    assert "\n" not in str(caught.value)
    assert table.read_bytes() == content


def test_a_folder_in_the_tables_place_is_refused(rebuild, tmp_path):
    with pytest.raises(DatasetError, match="was not written by"):
        rebuild(review=tmp_path)


@pytest.mark.parametrize("content", ["", "\ufeff", "\n", ",".join(COLUMNS) + "\n"])
def test_an_empty_table_strikes_nothing(rebuild, table, content):
    table.write_text(content, "utf-8")

    summary, _ = rebuild(review=table)

    assert summary.removed == 0
    assert len(rows(table)) == 2


def test_empty_rows_at_a_tables_end_are_no_pairs(rebuild, table, tmp_path):
    rebuild(review=table)
    with table.open("a", encoding="utf-8") as file:
        file.write(",,,,,,\n\n")

    rebuild(review=table)

    assert (tmp_path / "ds" / "removed.txt").read_text() == ""


def test_a_build_that_fails_leaves_the_table_as_the_person_left_it(
    rebuild, table, tmp_path, export
):
    rebuild(review=table)
    mark_removed(table, LINK)
    before = table.read_bytes()
    write(tmp_path, chat(entry(1, 1, "a"), entry(2, 2, "b", 9)))

    with pytest.raises(DatasetError, match="too few"):
        rebuild(review=table)

    assert table.read_bytes() == before
