"""The report: whose words it shows, that it escapes them, and that it needs nothing else."""

import base64
import json
import shutil
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from model.artifacts.consent import Consent
from model.chat.roster import Decision
from pipeline.dataset.build import build
from pipeline.dataset.storage import load_dataset
from pipeline.report import charts
from pipeline.report.figures import OTHERS, compute_figures, find_emoji, list_agreed, split_words
from pipeline.report.page import VersionReport, render_report
from pipeline.report.version import Sample, hide_lines
from tests.command_line import understudy
from tests.pipeline.chats import NOON, chat, entry, small, write

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
HOSTILE = "<script>alert(1)</script>"
NAMES = {1: "Ana <b>$x$</b>", 2: "Rui", 3: "Eva", 4: "Zé"}
CONSENT = {1: 'imitate = "yes"', 2: 'imitate = "yes"', 3: "", 4: 'learn = "no"'}
OWN_WORDS = {1: "ananas 😂", 2: "rumba with Eva or Zé", 3: "evasive", 4: "zebra"}


def write_chat(folder, offset=1, **more):
    """Write an export, in the time of a computer `offset` hours east of UTC, and a roster."""
    entries = []
    for session in range(24):
        for turn in range(8):
            who = 1 + (session + turn) % 4
            seconds = session * 86_400 + turn * 90
            local = NOON + timedelta(seconds=seconds, hours=offset)
            text = f"hello {OWN_WORDS[who]} {session}"
            date = local.replace(tzinfo=None).isoformat()
            entries.append(
                entry(len(entries) + 2, who, text, seconds, date=date, **{"from": NAMES[who]})
            )
    roster = "".join(
        f"[[people]]\nname = {json.dumps(name)}\nids = [{who}]\n{CONSENT[who]}\n"
        for who, name in NAMES.items()
    )
    (folder / "roster.toml").write_text(roster, "utf-8")
    return write(folder, chat(*entries, name=f"{HOSTILE} & friends", **more))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("chat")
    build([write_chat(folder)], folder / "dataset", small())
    return load_dataset(folder / "dataset")


@pytest.fixture(scope="module")
def agreed(dataset):
    return list_agreed(dataset.roster, Consent())


@pytest.fixture(scope="module")
def figures(dataset, agreed):
    return compute_figures(dataset, agreed)


class Page(HTMLParser):
    """The tags, attributes and text of a page."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.attributes, self.texts = set(), [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.texts.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())


def test_only_people_who_agreed_have_words_and_the_others_are_counts(dataset, figures, agreed):
    page = Page(render_report(dataset, figures, None, agreed))

    assert agreed == {NAMES[1], NAMES[2]}
    assert {"ananas", "rumba"} <= set(page.text.split())
    assert "😂" in page.text
    assert "evasive" not in page.text
    assert "zebra" not in page.text
    assert "Zé" not in page.text
    assert "Eva (has not agreed yet)" in page.text
    by_name = {person.name: person for person in figures.people}
    assert by_name["Eva"].habits is None
    assert by_name["Eva"].hours == ()
    assert by_name["Eva"].lines > 0


def test_names_of_people_who_did_not_agree_are_no_characteristic_words(figures):
    habits = [person.habits for person in figures.people if person.habits]

    words = {word.word for own in habits for word in own.words}
    assert {"ananas", "rumba", "with", "or"} <= words
    assert not {"eva", "zé"} & words


def test_a_script_in_a_title_or_a_message_stays_text(dataset, figures, agreed):
    sample = Sample("Rui", (("Rui", HOSTILE), (None, "")), (HOSTILE,), (f"{HOSTILE}\u202e",))
    card = SimpleNamespace(
        chats=dataset.chats, base=HOSTILE, family="f", provenance={}, scores={},
        window=dataset.window,
    )  # fmt: skip
    artifact = SimpleNamespace(path=dataset.folder, card=card)

    html = render_report(dataset, figures, VersionReport(artifact, None, None, (sample,)), agreed)

    page = Page(html)
    assert "script" not in page.tags
    assert page.text.count(HOSTILE) == 6  # both titles, the base, and three times in the sample
    assert "<b>$x$</b>" not in html
    assert "\u202e" not in html


def test_the_page_asks_for_nothing_outside_and_forbids_it(dataset, figures, agreed):
    page = Page(render_report(dataset, figures, None, agreed))

    assert "link" not in page.tags
    sources = [value for name, value in page.attributes if name in {"src", "href", "srcset"}]
    assert sources
    assert all(value.startswith("data:image/svg+xml;base64,") for value in sources)
    contents = [value for name, value in page.attributes if name == "content"]
    (policy,) = (value for value in contents if "default-src" in value)
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert ("name", "viewport") in page.attributes


def test_hours_are_those_of_the_export(dataset, figures):
    assert dataset.summary.utc_offsets == (("2024-03-01", 60),)
    assert figures.zone == "the export's time, UTC+1"
    assert np.flatnonzero(figures.hours.sum(0)).tolist() == [13]  # noon in UTC


def test_another_time_zone_replaces_the_exports(dataset, agreed):
    figures = compute_figures(dataset, agreed, ZoneInfo("Asia/Tokyo"))

    assert np.flatnonzero(figures.hours.sum(0)).tolist() == [21]
    assert figures.zone == "Asia/Tokyo"


def test_turns_answer_the_person_before_and_replies_their_addressee(tmp_path):
    def talk(session):
        first, at = 10 * session + 1, session * 86_400
        return [
            entry(first, 1, "one", at),
            entry(first + 1, 1, "still one", at + 5),
            entry(first + 2, 2, "two", at + 200),
            entry(first + 3, 1, "three", at + 300, reply_to_message_id=first + 2),
            entry(first + 4, 3, "four", at + 400, reply_to_message_id=first),
            entry(first + 5, 2, "five", at + 500),
        ]

    export = write(tmp_path, chat(*(one for session in range(30) for one in talk(session))))
    build([export], tmp_path / "dataset", small())
    dataset = load_dataset(tmp_path / "dataset")

    replies = compute_figures(dataset, frozenset()).replies

    sessions = sum(part.sessions for part in dataset.summary.splits)
    expected = {("2", "1"), ("1", "2"), ("3", "1"), ("2", "3")}
    assert {(by[-1], to[-1]): count for (by, to), count in replies.items()} == dict.fromkeys(
        expected, sessions
    )


@pytest.mark.parametrize(
    ("decisions", "expected"),
    [
        ({}, {1, 2}),
        ({3: "optin"}, {1, 2, 3}),
        ({4: "optin"}, {1, 2}),
        ({2: "optout"}, {1}),
    ],
    ids=["nobody decided", "one agreed", "one who may not be learned from", "one withdrew"],
)
def test_peoples_own_decisions_count(dataset, decisions, expected):
    now = datetime.now(UTC)
    consent = Consent({who: Decision(who, kind, now) for who, kind in decisions.items()})

    assert list_agreed(dataset.roster, consent) == {NAMES[who] for who in expected}


def test_a_withheld_person_is_never_shown(dataset):
    assert list_agreed(dataset.roster, Consent(withheld=frozenset({2}))) == {NAMES[1]}


def test_lines_of_people_who_did_not_agree_are_hidden_together():
    context = ("Rui: a: b", "Eva: no", "[…]", "Rui: c\rd")

    assert hide_lines(context, {"Rui"}) == (("Rui", "a: b"), (None, ""), ("Rui", "c\nd"))


def test_words_have_no_handles_links_or_numbers():
    assert split_words("Olá @rui, see https://x.org/secret 1234 don't sooooo") == [
        "olá", "see", "don't", "sooo",
    ]  # fmt: skip
    assert find_emoji("ok :) 😂") == ["😂", ":)"]


def test_a_name_with_dollars_or_without_a_glyph_can_be_drawn():
    names = {"$x$": 3, "李雷": 2, OTHERS: 1}
    replies = {("$x$", "李雷"): 2, ("李雷", OTHERS): 1}

    picture = charts.draw_reply_graph(names, replies, charts.colour_people(list(names)))

    drawn = base64.b64decode(picture.partition(",")[2]).decode()
    assert ">$x$<" in drawn
    assert ">李雷<" in drawn
    assert picture == charts.draw_reply_graph(names, replies, charts.colour_people(list(names)))


def test_the_command_writes_a_private_file_for_a_dataset(dataset, tmp_path):
    result = understudy("report", dataset.folder, "--out", tmp_path / "r.html", cwd=tmp_path)

    assert result.returncode == 0, result.stderr
    assert (tmp_path / "r.html").stat().st_mode & 0o777 == 0o600
    assert f"Wrote {tmp_path / 'r.html'}" in result.stdout
    assert "may read the chat" in result.stdout


def test_a_versions_report_has_its_training_and_samples(trained, tmp_path):
    result = understudy(
        "report", "--models", trained.root, "--samples", 1, "--out", tmp_path / "r.html",
        cwd=tmp_path,
    )  # fmt: skip

    assert result.returncode == 0, result.stderr
    page = Page((tmp_path / "r.html").read_text("utf-8"))
    assert "Losses by training step." in dict.fromkeys(v for _, v in page.attributes)
    assert "Not evaluated yet" in page.text
    assert page.text.count("🎭 generated") == 3
    assert "Hugo" in page.text


def test_without_its_dataset_a_version_has_a_report_of_its_own(trained, tmp_path):
    own = tmp_path / "artifacts"
    shutil.copytree(trained.root, own, symlinks=True)
    (card,) = own.glob("versions/*/model.json")
    value = json.loads(card.read_text("utf-8"))
    value["provenance"]["dataset"]["folder"] = str(tmp_path / "gone")
    card.write_text(json.dumps(value), "utf-8")

    result = understudy("report", "--models", own, "--out", tmp_path / "r.html", cwd=tmp_path)

    assert result.returncode == 0, result.stderr
    assert "is not here" in result.stderr
    page = Page((tmp_path / "r.html").read_text("utf-8"))
    assert "no figures of the chat" in page.text
    assert "side by side" not in page.text


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium: apt-get install -y chromium")
def test_a_phone_shows_all_of_it_and_the_policy_is_kept(dataset, figures, agreed, tmp_path):
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    (tmp_path / "r.html").write_text(render_report(dataset, figures, None, agreed), "utf-8")
    problems = []
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 390, "height": 800})
        page.on("console", lambda message: problems.append(message.text))
        page.on("request", lambda request: problems.append(request.url))
        page.goto((tmp_path / "r.html").as_uri())
        widths = page.evaluate("[...document.images].map(image => image.naturalWidth)")
        scroll = page.evaluate("document.documentElement.scrollWidth")
        browser.close()

    assert scroll <= 390
    assert min(widths) > 0
    assert len(widths) == 5
    own = [one for one in problems if not one.startswith("data:")]
    assert own == [(tmp_path / "r.html").as_uri()]
