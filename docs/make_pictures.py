"""Take the pictures of the playground, after `make demo`: `python docs/make_pictures.py`."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

PICTURES = Path(__file__).parent / "pictures"
COMMAND = (sys.executable, "-m", "bot", "playground", "--port", "0")
CONVERSATION = ("--opening", "demo/conversation.txt")
SECONDS = 30


def main() -> None:
    """Talk in the playground, and write playground-light.png and playground-dark.png."""
    PICTURES.mkdir(exist_ok=True)
    with (
        subprocess.Popen(  # noqa: S603  its own program
            (*COMMAND, *CONVERSATION), stdout=subprocess.PIPE, text=True
        ) as process,
        sync_playwright() as playwright,
    ):
        address = next(filter(None, map(_find_address, process.stdout or ())))
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        desktop = browser.new_page(viewport={"width": 1000, "height": 720}, locale="en-GB")
        desktop.set_default_timeout(1000 * SECONDS)
        desktop.goto(address)
        _choose(desktop, "Andre")
        _write(desktop, "anyway, are you coming to the lab on friday?")
        _write(desktop, "/as Hugo")
        answer = desktop.locator("article:has(.voice)").first
        answer.focus()
        desktop.keyboard.press("Enter")
        desktop.get_by_role("button", name="React with 😁").click()
        _choose(desktop, "Tiago")
        _write(desktop, "/simulate 3")
        desktop.wait_for_function("() => document.querySelectorAll('.voice').length > 3")
        desktop.screenshot(path=PICTURES / "playground-light.png")
        _write(desktop, "/guess")
        phone = browser.new_page(
            viewport={"width": 390, "height": 780},
            device_scale_factor=1.5,
            is_mobile=True,
            color_scheme="dark",
            locale="en-GB",
        )
        phone.set_default_timeout(1000 * SECONDS)
        phone.goto(address)
        _choose(phone, "Leonardo")
        phone.get_by_role("button", name="Hugo", exact=True).click()
        phone.locator(".result").first.wait_for()
        phone.screenshot(path=PICTURES / "playground-dark.png")
        browser.close()
        process.terminate()


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
