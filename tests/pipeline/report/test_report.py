"""The report: whose words it shows, that it escapes them, and that it needs nothing else."""

import base64
import json
import os
import shutil
import stat
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from model.chat.names import clean_name
from model.chat.permissions import Facts
from model.chat.person import Decision
from model.chat.words import split_shown_words
from model.errors import ArtifactError
from pipeline.dataset.build import build
from pipeline.dataset.storage import load_dataset
from pipeline.report import charts
from pipeline.report.figures import (
    OTHERS,
    Visible,
    compute_figures,
    find_emoji,
    find_visible,
)
from pipeline.report.page import VersionReport, render_report
from pipeline.report.version import Sample, hide_lines, read_scorecard
from tests.command_line import understudy
from tests.contrast import CONTRASTS, ENOUGH
from tests.pipeline.chats import NOON, chat, entry, small, write

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
HOSTILE = "<script>alert(1)</script>"
one_family = pytest.mark.parametrize("trained", ["decoder-only"], indirect=True)
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
    return find_visible(dataset.roster, Facts()).agreed


@pytest.fixture(scope="module")
def figures(dataset):
    return compute_figures(dataset, find_visible(dataset.roster, Facts()))


class Page(HTMLParser):
    """The tags, attributes and text of a page."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.attributes, self.elements, self.texts = set(), [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += attrs
        self.elements.append((tag, attrs))

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
    assert by_name["Eva"].messages > 0


def test_names_of_people_who_did_not_agree_are_no_characteristic_words(figures):
    habits = [person.habits for person in figures.people if person.habits]

    words = {word.word for own in habits for word in own.words}
    assert {"ananas", "rumba", "with", "or"} <= words
    assert not {"eva", "zé"} & words


def test_a_script_in_a_title_or_a_message_stays_text(dataset, figures, agreed, tmp_path):
    sample = Sample("Rui", (("Rui", HOSTILE), (None, "")), (HOSTILE,), (f"{HOSTILE}\u202e",))
    artifact = make_artifact(tmp_path, dataset)

    html = render_report(dataset, figures, VersionReport(artifact, None, None, (sample,)), agreed)

    page = Page(html)
    assert "script" not in page.tags
    assert page.text.count(HOSTILE) == 5  # both titles, and three times in the sample
    assert "i" not in page.tags  # of the base
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


def test_another_time_zone_replaces_the_exports(dataset):
    figures = compute_figures(dataset, Visible(), ZoneInfo("Asia/Tokyo"))

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

    replies = compute_figures(dataset, find_visible(dataset.roster, Facts())).replies

    sessions = sum(part.sessions for part in dataset.summary.splits)
    expected = {("2", "1"), ("1", "2"), ("3", "1"), ("2", "3")}
    assert {(by[-1], to[-1]): count for (by, to), count in replies.items()} == dict.fromkeys(
        expected, sessions
    )


def make_scorecard(*voices):
    """Return what the report reads of a scorecard; the first score has no interval."""
    shares = [[1 / len(voices)] * len(voices) for _ in voices]
    return {
        "format": 3,
        "quick": True,
        "headline": {
            "bags": 12,
            "judge_source": "elsewhere",
            "voices": {name: {"real": 0.75, "generated": 0.5} for name in voices},
            "worst": {"voice": voices[-1], "value": 0.67, "low": 0.4, "high": 0.9},
            "attribution": {"value": 0.58, "low": 0.0, "high": -2111108.1},
            "attribution_cold": {"value": 1.0, "low": 0.5, "high": 1.5},
            "fit": {"value": 0.81, "low": 0.71, "high": 0.92},
            "attribution_markov": 0.9,
            "fit_nearest": 0.4,
            "auc_with_context": 0.7,
            "copied": 0.01,
            "copied_real": 0.02,
        },
        "attribution": {"voices": list(voices), "confusion": {"generated": shares}},
        "right_voice": {"absent": {"share": 0.48, "chance": 0.25}},
        "habits": {"voices": {name: {"burst": {"real": 1.7, "generated": 1.9}} for name in voices}},
        "personal_data": 0,
        "personal_data_lines": 147,
    }


def make_artifact(folder, dataset, scorecard=None):
    """Return as much of a version as the report reads."""
    scores = {"nats_per_character": {"voices": {"Eva": {"untuned": 1.0, "tuned": 0.5}}}}
    card = SimpleNamespace(
        chats=dataset.chats, base="<i>base</i>", family="decoder-only", window=dataset.window,
        provenance={"seconds": 300.0, "steps": 60}, scores=scores,
    )  # fmt: skip
    path = folder / "versions" / "0001-ab"
    path.mkdir(parents=True)
    if scorecard is not None:
        (path / "scorecard.json").write_text(json.dumps(scorecard), "utf-8")
    return SimpleNamespace(path=path, card=card)


def test_the_scorecard_of_a_retraining_has_no_fit(dataset, figures, agreed, tmp_path):
    scorecard = make_scorecard("Ana", "Eva")
    for key in ("fit", "fit_nearest", "auc_with_context"):
        del scorecard["headline"][key]
    artifact = make_artifact(tmp_path, dataset, scorecard)
    version = VersionReport(artifact, None, read_scorecard(artifact), ())

    html = render_report(dataset, figures, version, agreed)

    assert "sounds like the friend" in html
    assert "fits the conversation" not in html
    assert "AUC" not in html


def test_with_too_few_lines_attribution_is_left_out(dataset, figures, agreed, tmp_path):
    scorecard = make_scorecard("Ana", "Eva")
    scorecard["headline"]["bags"] = 2
    artifact = make_artifact(tmp_path, dataset, scorecard)
    version = VersionReport(artifact, None, read_scorecard(artifact), ())

    page = Page(render_report(dataset, figures, version, agreed))

    assert "sounds like the friend" not in page.text
    assert "fits the conversation" in page.text
    assert "Whose lines are these?" not in page.text
    assert "Too few lines to say" in page.text


def test_the_scorecard_has_its_intervals_and_only_voices_that_agreed(
    dataset, figures, agreed, tmp_path
):
    artifact = make_artifact(tmp_path, dataset, make_scorecard("Ana <b>$x$</b>", "Eva", "Rui"))
    version = VersionReport(artifact, None, read_scorecard(artifact), ())

    page = Page(render_report(dataset, figures, version, agreed))

    assert "sounds like the friend 0.58 too few lines" in page.text
    assert "fits the conversation (first of ten) 0.81 0.71 to 0.92" in page.text
    assert "0.500" not in page.text  # Eva's loss
    (confusion,) = [
        dict(attributes)["src"]
        for tag, attributes in page.elements
        if tag == "img" and "judge" in dict(attributes)["alt"]
    ]
    drawn = base64.b64decode(confusion.partition(",")[2]).decode()
    assert drawn.count(">33%<") == 6  # two rows of three: the third column has the others
    assert "Eva" not in drawn
    assert ">[others]<" in drawn


@pytest.mark.parametrize(
    "content", [None, {"format": 1, "headline": {}}], ids=["missing", "of another format"]
)
def test_a_scorecard_that_cannot_be_shown_is_left_out(dataset, tmp_path, content):
    assert read_scorecard(make_artifact(tmp_path, dataset, content)) is None


def test_a_damaged_scorecard_is_named(dataset, tmp_path):
    with pytest.raises(ArtifactError, match="run `understudy evaluate` again"):
        read_scorecard(make_artifact(tmp_path, dataset, ["?"]))


def test_the_training_curve_has_both_losses_and_the_kept_step():
    picture = charts.draw_training_curve([(5, 3.0), (10, 2.5)], [(5, 0.9), (10, 0.8)], 10)

    drawn = base64.b64decode(picture.partition(",")[2]).decode()
    texts = ("training", "training, nats/token", "validation, nats/char", "kept weights")
    assert all(f">{text}<" in drawn for text in texts)


@pytest.mark.parametrize(
    ("decisions", "agreed", "undecided"),
    [
        ({}, {1, 2}, {3}),
        ({3: "optin"}, {1, 2, 3}, set()),
        ({3: "optout"}, {1, 2}, set()),
        ({4: "optin"}, {1, 2}, {3}),
        ({2: "optout"}, {1}, {3}),
    ],
    ids=["nobody decided", "one agreed", "one refused", "one may not be learned from", "withdrew"],
)
def test_peoples_own_decisions_count(dataset, decisions, agreed, undecided):
    now = datetime.now(UTC)
    told = [Decision(who, kind, now) for who, kind in decisions.items()]

    visible = find_visible(dataset.roster, Facts().with_source("a dump", told))

    assert visible.agreed == {NAMES[who] for who in agreed}
    assert visible.undecided == {NAMES[who] for who in undecided}


def test_a_withheld_person_is_never_shown(dataset):
    assert find_visible(dataset.roster, Facts(not_imitated=frozenset({2, 3}))) == Visible(
        frozenset({NAMES[1]})
    )


def test_who_is_hidden_in_one_roster_is_hidden():
    one = Visible(frozenset({"Ana", "Rui"}), frozenset({"Eva"}))
    other = Visible(frozenset({"Ana", "Eva"}), frozenset({"Rui"}))

    assert one & other == Visible(frozenset({"Ana"}), frozenset({"Rui", "Eva"}))
    assert one & Visible() == Visible()


def test_lines_of_people_who_did_not_agree_are_hidden_together():
    context = ("Rui: a: b", "Eva: no", "[…]", "Rui: c\rd")

    assert hide_lines(context, {"Rui"}) == (("Rui", "a: b"), (None, ""), ("Rui", "c\nd"))


def test_words_have_no_handles_links_or_numbers():
    assert split_shown_words("Olá @rui, see https://x.org/secret 1234 don't sooooo") == [
        "olá", "see", "don't", "sooooo",
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


def test_a_friend_called_others_has_only_their_own_figures(dataset):
    shown = compute_figures(dataset, Visible(frozenset({"others"})))

    assert clean_name(OTHERS) != OTHERS
    assert [one.name for one in shown.people if one.hours] == []


def test_a_device_is_no_file_to_replace(dataset, tmp_path):
    os.mkfifo(tmp_path / "pipe")

    result = understudy("report", dataset.folder, "--out", tmp_path / "pipe", cwd=tmp_path)

    assert result.returncode == 2
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


def test_a_link_is_replaced_and_its_target_stays(dataset, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    (tmp_path / "r.html").symlink_to("mine.txt")

    understudy("report", dataset.folder, "--out", tmp_path / "r.html", cwd=tmp_path)

    assert (tmp_path / "mine.txt").read_text() == "mine"
    assert (tmp_path / "r.html").stat().st_mode & 0o777 == 0o600


def test_the_command_writes_a_private_file_for_a_dataset(dataset, tmp_path):
    result = understudy("report", dataset.folder, "--out", tmp_path / "r.html", cwd=tmp_path)

    assert result.returncode == 0, result.stderr
    assert (tmp_path / "r.html").stat().st_mode & 0o777 == 0o600
    assert f"Wrote {tmp_path / 'r.html'}" in result.stdout
    assert "may read the chat" in result.stdout


def test_a_folder_without_a_dataset_is_named(tmp_path):
    (tmp_path / "empty").mkdir()

    result = understudy("report", "empty", cwd=tmp_path)

    assert result.returncode == 1
    assert "there is no dataset in empty" in result.stderr
    assert not (tmp_path / "report.html").exists()


@one_family
def test_a_versions_report_has_its_training_and_samples(trained, tmp_path):
    result = understudy(
        "report", "--models-dir", trained.root, "--samples", 1, "--out", tmp_path / "r.html",
        cwd=tmp_path,
    )  # fmt: skip

    assert result.returncode == 0, result.stderr
    page = Page((tmp_path / "r.html").read_text("utf-8"))
    assert "Loss on held-out replies" in page.text
    assert "Losses by training step." in dict.fromkeys(v for _, v in page.attributes)
    assert "Not evaluated yet" in page.text
    assert page.text.count("🎭 generated") == 3
    assert "Hugo" in page.text


@one_family
def test_without_its_dataset_a_version_has_a_report_of_its_own(trained, tmp_path):
    own = tmp_path / "artifacts"
    shutil.copytree(trained.root, own, symlinks=True)
    (card,) = own.glob("versions/*/model.json")
    value = json.loads(card.read_text("utf-8"))
    value["provenance"]["dataset"]["folder"] = str(tmp_path / "gone")
    card.write_text(json.dumps(value), "utf-8")

    result = understudy("report", "--models-dir", own, "--out", tmp_path / "r.html", cwd=tmp_path)

    assert result.returncode == 0, result.stderr
    assert "is missing" in result.stderr
    page = Page((tmp_path / "r.html").read_text("utf-8"))
    assert "no figures about the chat" in page.text
    assert "side by side" not in page.text


def test_for_an_export_it_names_the_command_that_makes_a_dataset(tmp_path):
    (tmp_path / "Chat Export").mkdir()
    file = tmp_path / "Chat Export" / "result.json"
    file.write_text("{}", "utf-8")

    for source in (file, file.parent):
        result = understudy("report", source, cwd=tmp_path)

        assert result.returncode == 1
        assert f"`understudy build '{source}' --out dataset`" in result.stderr


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
        page.emulate_media(color_scheme="dark")
        dark = page.evaluate(CONTRASTS)
        browser.close()

    assert scroll <= 390
    assert min(widths) > 0
    assert len(widths) == 5
    assert len(dark) > 50
    assert min(dark)[0] > ENOUGH
    own = [one for one in problems if not one.startswith("data:")]
    assert own == [(tmp_path / "r.html").as_uri()]
