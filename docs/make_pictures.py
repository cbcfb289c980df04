"""Take the pictures of the playground and of the report: `python docs/make_pictures.py`.

The playground answers with the demo's model (`make demo`); what people write in it is made up here.
The report is about the chat of invented_chat.py.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from invented_chat import write_export
from playwright.sync_api import Browser, Page, sync_playwright

from model.artifacts.registry import Registry

PICTURES = Path(__file__).parent / "pictures"
PLAYGROUND = (sys.executable, "-m", "bot", "playground", "--port", "0", "--opening")
UNDERSTUDY = (sys.executable, "-m", "pipeline.cli")
SECONDS = 60
CONVERSATION = """\
{0}: did anyone water the plants at the office?
{1}: I did, on monday
{2}: mine is already dead anyway
{0}: what did you do to it?
{2}: I only moved it next to the window
{1}: then it was the sun and not you
{3}: are we still going to the lake on friday?
{1}: yes, if somebody brings a car
{0}: I can drive, but there is only room for four
"""
"""Lines by the voices of the model, in the order of its roster."""


def main() -> None:
    """Write playground.png and report.png."""
    PICTURES.mkdir(exist_ok=True)
    names = [voice.name for voice in Registry(Path("artifacts")).open().card.roster.voices]
    with tempfile.TemporaryDirectory() as temporary, sync_playwright() as playwright:
        folder = Path(temporary)
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        opening = folder / "opening.txt"
        opening.write_text(CONVERSATION.format(*names), "utf-8")
        with subprocess.Popen(  # noqa: S603  its own program
            (*PLAYGROUND, opening), stdout=subprocess.PIPE, text=True
        ) as process:
            try:
                address = next(filter(None, map(_find_address, process.stdout or ())))
                _take_playground(browser, address, names)
            finally:
                process.terminate()
        _take_report(browser, folder)
        browser.close()


def _take_playground(browser: Browser, address: str, names: list[str]) -> None:
    page = browser.new_page(viewport={"width": 1000, "height": 720}, locale="en-GB")
    page.set_default_timeout(1000 * SECONDS)
    page.goto(address)
    _choose(page, names[3])
    _write(page, f"/as {names[2]} what about friday?")
    answer = page.locator("article:has(.voice)").first
    answer.focus()
    page.keyboard.press("Enter")
    page.get_by_role("button", name="React with 😁").click()
    _choose(page, names[0])
    _write(page, "/simulate 3")
    page.wait_for_function("() => document.querySelectorAll('.voice').length > 3")
    page.screenshot(path=PICTURES / "playground.png")


def _take_report(browser: Browser, folder: Path) -> None:
    export, dataset, report = write_export(folder / "export"), folder / "dataset", folder / "a.html"
    for command in (("build", export, "--out", dataset), ("report", dataset, "--out", report)):
        subprocess.run((*UNDERSTUDY, *command), check=True)  # noqa: S603  its own program
    page = browser.new_page(viewport={"width": 1060, "height": 1470}, locale="en-GB")
    page.goto(report.as_uri())
    page.screenshot(path=PICTURES / "report.png")


def _find_address(line: str) -> str | None:
    found = re.search(r"http://\S+", line)
    return found and found[0]


def _choose(page: Page, name: str) -> None:
    page.get_by_role("radio", name=name).check(force=True)


def _write(page: Page, text: str) -> None:
    page.locator("#text").fill(text)
    page.keyboard.press("Enter")


if __name__ == "__main__":
    main()
