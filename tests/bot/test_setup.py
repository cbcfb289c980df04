"""`understudy-bot setup`: the settings file and the systemd units."""

import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from bot import setup
from bot.__main__ import cli
from bot.errors import SetupError
from bot.settings import Settings

EXAMPLE = Path(__file__).parents[2] / ".env.example"
ANALYZE = shutil.which("systemd-analyze")
MAX_EXPOSURE = 15
"""Tenths of systemd's exposure level, from 0 (safe) to 100; docs/server.md states the figure."""


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """A Python whose programs are installed."""
    folder = tmp_path / "my venv" / "bin"
    folder.mkdir(parents=True)
    for name in ("understudy", "understudy-bot"):
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(folder / "python"))
    return folder


@pytest.fixture(autouse=True)
def _visible(monkeypatch):
    """Let pytest's folders below /tmp stand for folders that a service sees."""
    monkeypatch.setattr(setup, "_TEMPORARY", ())


def call(*words):
    result = CliRunner().invoke(cli, ["setup", *map(str, words)])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.output


def test_the_packaged_settings_file_is_the_example_in_the_repository():
    packaged = Path(setup.__file__).parent / "templates" / "env.example"

    assert packaged.read_bytes() == EXAMPLE.read_bytes()


def test_the_settings_file_is_private_and_holds_the_defaults(tmp_path):
    told = call(tmp_path / "new" / "group")

    env = tmp_path / "new" / "group" / ".env"
    assert stat.S_IMODE(env.stat().st_mode) == 0o600
    assert Settings(_env_file=env) == Settings(_env_file=None)
    assert f"Wrote {env}, which only you can read." in told
    assert not (env.parent / "systemd").exists()


def test_an_existing_settings_file_is_never_changed(tmp_path, programs):
    env = tmp_path / ".env"
    env.write_text("BOT_TOKEN=42:SECRET\n")

    told = call(tmp_path, "--systemd", "--force")

    assert env.read_text() == "BOT_TOKEN=42:SECRET\n"
    assert f"{env} exists and was not changed." in told
    assert "SECRET" not in told


def test_a_link_in_place_of_the_settings_file_is_not_followed(tmp_path):
    (tmp_path / ".env").symlink_to(tmp_path / "elsewhere")

    call(tmp_path)

    assert not (tmp_path / "elsewhere").exists()


def test_units_name_the_folder_the_programs_the_user_and_the_chat(tmp_path, programs):
    folder = tmp_path / "my group"

    told = call(folder, "--systemd", "--user", "hugo", "--chat", "-1001234")

    bot, retrain = (
        (folder / "systemd" / f"understudy-{name}.service").read_text()
        for name in ("bot", "retrain")
    )
    for unit in (bot, retrain):
        assert "\nUser=hugo\n" in unit
        assert f"\nWorkingDirectory={folder}\n" in unit
        assert f'\nReadWritePaths="{folder}"\n' in unit
        assert "$" not in unit
    assert f'\nExecStart="{programs}/understudy-bot" run\n' in bot
    assert '/live.json" --chat -1001234\n' in retrain
    assert "  sudo useradd --system --shell /usr/sbin/nologin hugo\n" in told
    assert f"  sudo chown -R hugo: '{folder}'\n" in told
    [install] = [line for line in told.splitlines() if "sudo install" in line]
    names = ("bot.service", "retrain.service", "retrain.timer")
    units = [str(folder / "systemd" / f"understudy-{name}") for name in names]
    assert shlex.split(install)[4:] == [*units, "/etc/systemd/system/"]
    assert "sudo systemctl enable --now understudy-bot.service" in told


def test_a_changed_unit_is_kept_and_replaced_only_by_force(tmp_path, programs):
    call(tmp_path, "--systemd")
    timer = tmp_path / "systemd" / "understudy-retrain.timer"
    written = timer.read_text()
    timer.write_text("changed")

    told = call(tmp_path, "--systemd")
    assert timer.read_text() == "changed"
    assert f"{timer} differs and was kept; --force replaces it." in told
    assert told.count("differs") == 1

    call(tmp_path, "--systemd", "--force")
    assert timer.read_text() == written


def test_a_folder_at_home_can_be_written_and_others_at_home_not_even_read():
    at_home = setup.render_units(Path("/home/ana/bot"), Path("/usr/bin"), "ana", None)
    elsewhere = setup.render_units(Path("/srv/bot"), Path("/srv/bot/.venv/bin"), "ana", None)

    assert "\nProtectHome=read-only\n" in at_home[setup.SERVICE]
    assert "\nProtectHome=yes\n" in elsewhere[setup.SERVICE]


@pytest.mark.parametrize("gpu", [True, False])
def test_a_machine_with_a_gpu_keeps_its_devices(tmp_path, monkeypatch, gpu):
    monkeypatch.setattr(setup, "_NVIDIA", tmp_path if gpu else tmp_path / "none")

    unit = setup.render_units(Path("/srv/bot"), Path("/usr/bin"), "ana", None)[setup.SERVICE]

    assert f"\nPrivateDevices={'no' if gpu else 'yes'}\n" in unit


@pytest.mark.parametrize(
    ("folder", "user", "says"),
    [
        ('/srv/a"b', "ana", 'the path /srv/a"b cannot be used in a systemd unit'),
        ("/srv/100%", "ana", "cannot be used in a systemd unit"),
        ("/srv/$HOME", "ana", "cannot be used in a systemd unit"),
        ("/srv/a\nb", "ana", "cannot be used in a systemd unit"),
        ("/srv/a", "ana\nExecStartPre=x", "is not a valid user name"),
    ],
)
def test_what_systemd_would_misread_is_refused(folder, user, says):
    with pytest.raises(SetupError, match=re.escape(says)):
        setup.render_units(Path(folder), Path("/usr/bin"), user, None)


def test_a_folder_that_a_service_does_not_see_is_refused(monkeypatch):
    monkeypatch.setattr(setup, "_TEMPORARY", (Path("/tmp"),))  # noqa: S108

    with pytest.raises(SetupError, match="services cannot see /tmp: choose another folder"):
        setup.render_units(Path("/tmp/bot"), Path("/usr/bin"), "ana", None)  # noqa: S108


def test_without_an_installed_program_there_are_no_units(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr(setup.sysconfig, "get_path", lambda *_: str(tmp_path))

    with pytest.raises(SetupError, match="there is no program understudy-bot in"):
        call(tmp_path / "bot", "--systemd")


@pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not installed")
def test_systemd_accepts_the_units_and_finds_them_hardened(tmp_path, programs):
    call(tmp_path / "my group", "--systemd", "--user", "understudy", "--chat", "-1001234")
    units = sorted((tmp_path / "my group" / "systemd").iterdir())
    env = {**os.environ, "SYSTEMD_COLORS": "0"}

    verified = subprocess.run(
        [ANALYZE, "verify", "--man=no", *units],
        capture_output=True,
        text=True,
        env=env,
        check=False,
    )
    assert (verified.returncode, verified.stderr) == (0, "")
    for unit in units:
        if unit.suffix == ".service":
            judged = subprocess.run(
                [ANALYZE, "security", "--offline=true", f"--threshold={MAX_EXPOSURE}", unit],
                capture_output=True, text=True, env=env, check=False,
            )  # fmt: skip
            assert judged.returncode == 0, judged.stdout[-200:]
