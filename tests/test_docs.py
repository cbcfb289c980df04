"""The documentation: its generated pages, its commands and its links."""

import importlib.util
import re
import shlex
from pathlib import Path

import pytest

from bot.__main__ import cli as bot_cli
from pipeline.cli.main import app as pipeline_cli

ROOT = Path(__file__).parents[1]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
PROGRAMS = {"understudy": pipeline_cli, "understudy-bot": bot_cli}
COMMAND = re.compile(r"(?:\.venv/bin/)?(understudy(?:-bot)?)((?: +[^\s`#&|>;]+)+)")
MEASURED = {"experiments.md", "measurements.md"}
"""Pages whose commands take minutes or hours; that they exist is checked all the same."""
FOLLOWED = [page for page in PAGES if page.name not in {*MEASURED, "options.md"}]


def load_generator():
    spec = importlib.util.spec_from_file_location("make_reference", ROOT / "docs/make_reference.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_generated_pages_are_up_to_date():
    generator = load_generator()

    for name, text in (
        ("options.md", generator.render_options()),
        ("settings.md", generator.render_settings()),
    ):
        assert (ROOT / "docs" / name).read_text("utf-8") == text, (
            "run python docs/make_reference.py"
        )


def read_code(page):
    """Return the code blocks with commands in a page, and its code spans."""
    text = page.read_text("utf-8")
    blocks = re.findall(r"```(?:sh|console|crontab)\n(.*?)```", text, re.DOTALL)
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    return blocks, spans


def list_commands(page):
    """Yield the commands in code spans and code blocks of a page."""
    blocks, spans = read_code(page)
    for code in (*spans, *(line for block in blocks for line in block.splitlines())):
        for match in COMMAND.finditer(code):
            if match.start() == 0 or code[match.start() - 1] in " =\t":
                yield match[1], match[2]


def find_unknown(program, rest):
    """Return a word of a command that the program does not know, None if it knows all."""
    command, before = PROGRAMS[program], ""
    for word in shlex.split(rest.replace("…", "")):
        if hasattr(command, "commands"):
            if word.startswith("-"):
                known = {
                    flag for one in command.params for flag in (*one.opts, *one.secondary_opts)
                }
                if word not in {*known, "--help"}:
                    return word
            elif word in command.commands:
                command = command.commands[word]
            else:
                return word
        elif word.startswith("--"):
            known = {flag for one in command.params for flag in (*one.opts, *one.secondary_opts)}
            if word.partition("=")[0] not in {*known, "--help"}:
                return word
        elif before == "--set" and word.partition("=")[0] not in command.settings:
            return word
        before = word
    return None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_in_a_page_exists_with_its_options(page):
    for program, rest in list_commands(page):
        assert find_unknown(program, rest) is None, f"{program}{rest}"


def test_unknown_commands_and_options_are_found():
    assert find_unknown("understudy", " trane dataset") == "trane"
    assert find_unknown("understudy", " train dataset --epoch 3") == "--epoch"
    assert find_unknown("understudy", " train dataset --set rank=3") == "rank=3"
    assert find_unknown("understudy-bot", " db backup copy.db --force") is None


def slug(heading):
    kept = re.sub(r"[^\w\- ]", "", heading.lower())
    return kept.replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_to_a_file_leads_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name) if name else page
        assert file.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", file.read_text("utf-8"), re.MULTILINE)
            assert anchor in set(map(slug, headings)), target


def test_every_message_that_troubleshooting_quotes_is_in_the_code():
    sources = [
        path.read_text("utf-8")
        for name in ("bot", "model", "pipeline")
        for path in (ROOT / name).rglob("*.py")
    ]
    code = re.sub(r'"\s*f?"', "", "\n".join(sources))
    page = (ROOT / "docs/troubleshooting.md").read_text("utf-8")

    quotes = re.findall(r"“([^”]+)”", page)

    assert quotes
    for quote in quotes:
        for part in filter(None, (part.strip() for part in quote.split("…"))):
            assert part in code, quote
