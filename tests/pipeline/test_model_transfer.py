"""The commands that move models: export, import, push, and training that pushes."""

import os
import subprocess
import sys

import pytest
from click.testing import CliRunner
from huggingface_hub import HfApi

from model.artifacts.artifact import load_artifact
from model.artifacts.registry import Registry
from model.errors import ArtifactError
from pipeline.cli import models
from pipeline.versions import hub
from tests import command_line
from tests.checkpoints import save_llama
from tests.model.fake_artifacts import make
from tests.pipeline import fake_hub

PLAIN = {"TERM": "dumb", "COLUMNS": "200"}


@pytest.fixture
def registry(tmp_path):
    registry = Registry(tmp_path / "models")
    registry.promote(registry.add(make(tmp_path / "made", words="weights " * 100)))
    return registry


@pytest.fixture
def other(tmp_path):
    """The registry of another machine."""
    return Registry(tmp_path / "other")


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    with fake_hub.running() as server:
        monkeypatch.setattr(
            hub, "open_hub", lambda: HfApi(endpoint=server.url, token=fake_hub.TOKEN)
        )
        yield server


def call(registry, *words, answer=None):
    """Run a command about models and return what it printed."""
    command = [*map(str, words), "--models-dir", str(registry.root)]
    result = CliRunner().invoke(models.app, command, input=answer, env=PLAIN)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.stdout


def test_a_version_travels_to_another_machine_as_a_file(registry, other, tmp_path):
    wrote = call(registry, "export", "current", tmp_path / "friends.zip")

    read = call(other, "import", tmp_path / "friends.zip")

    assert wrote.startswith(f"Wrote {tmp_path / 'friends.zip'}, 0.0 MB; contents sha256 ")
    assert "can extract messages from them" in wrote
    assert "Share the file only with people who may read the chat." in wrote
    assert read.splitlines()[0].startswith(f"{registry.current} from {tmp_path / 'friends.zip'} is")
    assert read.splitlines()[0].split()[-1] == wrote.splitlines()[0].split()[-1]
    assert read.splitlines()[1] == (
        f"To make it the current version: understudy models promote 0001 --models-dir {other.root}"
    )
    assert call(other, "promote", "1") == f"{registry.current} is the current version now.\n"
    assert load_artifact(other.open().path).card == registry.open().card


def test_an_existing_version_is_recognised_and_not_added_again(registry, other, tmp_path):
    call(registry, "export", "current", tmp_path / "friends.zip")
    call(other, "import", tmp_path / "friends.zip")

    again = call(other, "import", tmp_path / "friends.zip")
    home = call(registry, "import", tmp_path / "friends.zip")

    assert other.names == registry.names == [registry.current]
    for told in (again, home):
        assert f"is already {registry.current} here" in told
        assert "No new version was created" in told


def test_a_version_with_other_weights_is_added(registry, other, tmp_path):
    call(registry, "export", "current", tmp_path / "friends.zip")
    other.add(make(tmp_path / "near", words="weightz " * 100))

    assert "already" not in call(other, "import", tmp_path / "friends.zip")
    assert len(other.names) == 2


def test_a_folder_gets_a_file_named_after_the_version(registry, tmp_path):
    call(registry, "export", "1", tmp_path)

    assert (tmp_path / f"understudy-{registry.current}.zip").is_file()


def test_a_version_that_was_damaged_is_not_exported(registry, tmp_path):
    (registry.open().path / "engine" / "model.bin").write_text("x")

    with pytest.raises(ArtifactError, match="has changed since it was added"):
        call(registry, "export", "1", tmp_path / "m.zip")

    assert not (tmp_path / "m.zip").exists()


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("missing.zip", "there is no file missing.zip"),
        ("not/there.zip", "there is no file not/there.zip"),
        ("/nowhere/x", "there is no file /nowhere/x"),
        ("word", "there is no file word"),
        (".", "was not written by `understudy models export`"),
    ],
)
def test_what_is_no_source_is_said(other, source, says):
    with pytest.raises(ArtifactError, match=says):
        call(other, "import", source)

    assert not other.root.exists()


def test_a_version_travels_by_the_hub(registry, other, server):
    told = call(registry, "push", "current", "hugo/friends", "--yes")

    read = call(other, "import", "hugo/friends")

    assert "Only you and people you invite will be able to read hugo" in told
    assert "can extract messages from them" in told
    assert f"{registry.current} is at {server.url}/hugo/friends" in told
    assert f"{registry.current} from hugo/friends is {registry.current} here" in read
    assert other.open("1").card == registry.open().card


def test_pushing_asks_first_and_goes_no_further_without_a_yes(registry, server):
    told = call(registry, "push", "current", "hugo/friends", answer="\n")

    assert "Push it? [y/N]" in told
    assert server.files == {}
    assert not any("create" in request for request in server.seen)


def test_pushing_in_public_says_who_did_not_agree(registry, server):
    told = call(registry, "push", "current", "hugo/friends", "--public-repo", answer="y\n")

    assert "Anyone will be able to read" in told
    assert "李雷 did not agree to be imitated" in told
    assert server.private == {"hugo/friends": False}


def test_a_failed_import_from_the_hub_leaves_nothing(registry, other, server):
    call(registry, "push", "current", "hugo/friends", "--yes")
    server.files["hugo/friends"]["engine/model.bin"] = b"heavier " * 100

    with pytest.raises(ArtifactError, match="was altered"):
        call(other, "import", "hugo/friends")

    assert list(other.root.iterdir()) == []


def understudy(*words, home, **environment):
    known = {key: text for key, text in os.environ.items() if not key.startswith("HF_")}
    return subprocess.run(
        [sys.executable, "-m", "pipeline.cli", *map(str, words)],
        capture_output=True, text=True, timeout=120, check=False,
        env={**known, "HF_HOME": str(home), **environment},
    )  # fmt: skip


def test_nobody_signed_in_and_no_hub_are_one_line_each(registry, tmp_path):
    push = ("models", "push", "1", "hugo/friends", "--yes", "--models-dir", registry.root)

    nobody = understudy(*push, home=tmp_path)
    offline = understudy(*push, home=tmp_path, HF_TOKEN=fake_hub.TOKEN, HF_HUB_OFFLINE="1")

    assert (nobody.returncode, offline.returncode) == (1, 1)
    assert nobody.stderr == (
        "understudy: you are not signed in to the hub: run `hf auth login`, or set HF_TOKEN\n"
    )
    assert offline.stderr == ("understudy: the hub cannot be reached: go online and try again\n")


def test_training_pushes_what_it_made_where_it_is_asked_to(habits_dataset, tmp_path, server):
    result = command_line.understudy(
        "train", habits_dataset, "--base", save_llama(tmp_path / "base"),
        "--models-dir", tmp_path / "models", "--epochs", 0.02,
        "--push-to-hub", "hugo/friends", "--yes", env=PLAIN,
    )  # fmt: skip

    assert result.returncode == 0, result.stderr
    name = Registry(tmp_path / "models").current
    assert f"{name} is at {server.url}/hugo/friends" in result.stdout
    assert server.private == {"hugo/friends": True}
    assert "weights/model.safetensors" in server.files["hugo/friends"]


def test_training_asks_before_it_begins(habits_dataset, tmp_path, server):
    result = command_line.understudy(
        "train", habits_dataset, "--base", tmp_path, "--models-dir", tmp_path / "models",
        "--push-to-hub", "hugo/friends", env=PLAIN,
    )  # fmt: skip

    assert result.returncode == 1
    assert "Push it? [y/N]" in result.stdout
    assert server.files == {}
    assert not (tmp_path / "models").exists()
