"""Which exports `understudy start` finds."""

import os

from pipeline.export.archive import open_exports
from pipeline.start.exports import describe_chat, export_folders, find_exports, find_html_exports
from pipeline.start.exports import list_chats as chats_of
from tests.pipeline.chats import account, chat, conversation, entry, write


def test_the_newest_export_comes_first(tmp_path):
    for age, name in enumerate(("ChatExport_2024-01-01", "DataExport_2024-02-02", "other")):
        file = write(tmp_path / name, chat(*conversation(1)))
        os.utime(file, (1_700_000_000 + age, 1_700_000_000 + age))
    (tmp_path / "ChatExport_2024-03-03").mkdir()

    found = find_exports([tmp_path, tmp_path / "missing", tmp_path])

    names = [one.file.parent.name for one in found]
    assert names == ["DataExport_2024-02-02", "ChatExport_2024-01-01"]
    assert "written 2023-11-" in str(found[0])


def test_this_folder_and_downloads_of_any_language_are_searched(tmp_path, monkeypatch):
    config = tmp_path / ".config"
    config.mkdir()
    (config / "user-dirs.dirs").write_text('XDG_DOWNLOAD_DIR="$HOME/Transferências"\n', "utf-8")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    folders = export_folders()

    expected = ("", "Downloads", "Transferências", "Transferências/Telegram Desktop")
    assert {tmp_path / name for name in expected} <= set(folders)


def test_an_export_as_html_only_is_found_to_explain_it(tmp_path):
    html, both = tmp_path / "ChatExport_1", tmp_path / "ChatExport_2"
    write(both, chat(*conversation(1)))
    for folder in (html, both):
        folder.mkdir(exist_ok=True)
        (folder / "messages.html").write_text("<html>")

    assert find_html_exports([tmp_path]) == [html]


def test_groups_come_before_other_chats_and_empty_ones_are_left_out(tmp_path):
    private = chat(*(entry(n, n % 2, "a", n) for n in range(1, 99)), name="Mum", id=6)
    private["type"] = "personal_chat"
    small = chat(*conversation(2), name="Small", id=5)
    export = write(
        tmp_path, account(private, small, chat(name="Empty", id=8), chat(*conversation()))
    )

    with open_exports([export]) as archive:
        chats = chats_of(archive)

    assert [one.name for one, _ in chats] == ["Friends", "Small", "Mum"]
    assert describe_chat(*chats[1]) == "Small · 24 messages · private supergroup"
