"""Write the files that a person needs to run the bot: `.env` and systemd units."""

import os
import pwd
import re
import shlex
import sys
import sysconfig
from collections.abc import Iterator
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from string import Template

import bot
from bot.errors import SetupError
from model.chat.names import make_printable
from model.files import make_folder, write_text

SERVICE, RETRAIN, TIMER = UNITS = (
    "understudy-bot.service",
    "understudy-retrain.service",
    "understudy-retrain.timer",
)

_HOMES = (Path("/home"), Path("/root"), Path("/run/user"))  # which ProtectHome= hides
_TEMPORARY = (Path("/tmp"), Path("/var/tmp"))  # noqa: S108  which PrivateTmp= hides
_NVIDIA = Path("/dev/nvidiactl")
_PLAIN_PATH = re.compile(r"/[\w/.@:+,=~ -]*")  # $, %, quotes and backslashes are special in units
_USER = re.compile(r"[A-Za-z_][\w.-]*")
_SYSTEM_FOLDER = "/etc/systemd/system/"


def write_settings(folder: Path) -> Iterator[str]:
    """Write `.env`, unless there is one; yield lines about it and the next steps."""
    path = make_folder(folder) / ".env"
    if path.exists() or path.is_symlink():
        yield f"{path} exists and was not changed."
    else:
        write_text(path, _read_template("env.example"))
        yield f"Wrote {path}, which only you can read."
    yield "Write your bot's token after BOT_TOKEN= there, then run in that folder:"
    yield "  understudy-bot check"
    yield "  understudy-bot run"


def write_units(folder: Path, user: str, chat: int | None, *, replace: bool) -> Iterator[str]:
    """Write systemd units for a bot in this folder; yield lines about them and the next steps.

    They go into its subfolder `systemd`. A unit that exists and differs is kept unless `replace` is
    true.

    Raises:
        SetupError: A path or the user's name cannot be used in a unit, or a program is missing.
    """
    units = folder / "systemd"
    for name, text in render_units(folder, find_programs(), user, chat).items():
        path = make_folder(units) / name
        if replace or not path.exists():
            write_text(path, text)
            yield f"Wrote {path}."
        elif path.read_text("utf-8") != text:
            yield f"{path} differs and was kept; --force replaces it."
    yield "To start the bot at boot:"
    if not _user_exists(user):
        yield f"  sudo useradd --system --shell /usr/sbin/nologin {user}"
    yield f"  sudo chown -R {user}: {shlex.quote(str(folder))}"
    # each by its name: the bot's user may write into this folder, and root installs what is there
    own = " ".join(shlex.quote(str(units / name)) for name in UNITS)
    yield f"  sudo install -m 644 {own} {_SYSTEM_FOLDER}"
    yield "  sudo systemctl daemon-reload"
    yield f"  sudo systemctl enable --now {SERVICE}"
    if find_spec("torch"):
        yield "To also train a new version each month from the bot's messages:"
    else:
        yield "To train on this machine each month, install the training extra; then:"
    yield f"  sudo systemctl enable --now {TIMER}"


def render_units(folder: Path, programs: Path, user: str, chat: int | None) -> dict[str, str]:
    """Return the text of each unit by its file name.

    Raises:
        SetupError: A path or the user's name cannot be used in a unit.
    """
    for path in (folder, programs):
        if not _PLAIN_PATH.fullmatch(str(path)):
            raise SetupError(
                f"the path {make_printable(str(path))} cannot be used in a systemd unit: use only "
                "letters, digits, spaces and . _ - + , = @ : ~"
            )
    if not _USER.fullmatch(user):
        raise SetupError(f"{make_printable(user)} is not a valid user name: see --user")
    if hidden := next((one for one in _TEMPORARY if folder.is_relative_to(one)), None):
        raise SetupError(f"services cannot see {hidden}: choose another folder")
    is_at_home = any(path.is_relative_to(home) for path in (folder, programs) for home in _HOMES)
    values = {
        "user": user,
        "folder": str(folder),
        "programs": str(programs),
        "chat": "" if chat is None else f" --chat {chat}",
        "protect_home": "read-only" if is_at_home else "yes",
        "private_devices": "no" if _NVIDIA.exists() else "yes",
    }
    return {name: Template(_read_template(name)).substitute(values) for name in UNITS}


def find_programs() -> Path:
    """Return the folder of the program `understudy-bot` that belongs to this Python.

    Raises:
        SetupError: It is not installed.
    """
    user_scheme = sysconfig.get_preferred_scheme("user")
    folders = (Path(sys.executable).parent, Path(sysconfig.get_path("scripts", user_scheme)))
    for folder in folders:
        if (folder / "understudy-bot").exists():
            return folder
    raise SetupError(f"there is no program understudy-bot in {folders[0]}: install it with pip")


def default_user() -> str:
    """Return the user to run the bot as: this one, or a new one instead of root."""
    return pwd.getpwuid(os.geteuid()).pw_name if os.geteuid() else "understudy"


def _user_exists(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def _read_template(name: str) -> str:
    return resources.files(bot).joinpath("templates", name).read_text("utf-8")
