"""A model to the hub and back, by huggingface_hub's own code, through a hub on loopback."""

import json
import socket
import tempfile
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from huggingface_hub import HfApi, constants

from model.artifacts.archive import MANIFEST
from model.artifacts.artifact import LearnedChat, load_artifact
from model.chat.person import Decision, Person
from model.errors import ArtifactError
from pipeline.versions import hub
from tests.leftovers import leave
from tests.model.fake_artifacts import ROSTER, card, make
from tests.pipeline import fake_hub

REPOSITORY = "hugo/friends"
JOAO, LI = ROSTER.people
SCORES = {
    "nats_per_character": {
        "whole": {"untuned": 1.0251, "tuned": 0.8741},
        "voices": {"João": {"tuned": 0.8}, "李雷": {"tuned": 0.9}},
    }
}
PROVENANCE = {
    "trained_at": "2024-03-01T12:00:05+00:00",
    "steps": 1200,
    "dataset": {"folder": "/home/hugo/李雷"},
}


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    with fake_hub.running() as server:
        yield server


@pytest.fixture
def api(server):
    return HfApi(endpoint=server.url, token=fake_hub.TOKEN)


@pytest.fixture
def artifact(tmp_path):
    folder = make(
        tmp_path / "0007-3f2a9c01",
        base="/home/hugo/bases/tiny",
        scores=SCORES,
        provenance=PROVENANCE,
        chats=(LearnedChat(-5, "李雷 and friends"),),
    )
    (folder / "weights").mkdir()
    (folder / "weights" / "model.safetensors").write_bytes(b"weights")
    (folder / "scorecard.json").write_text('{"李雷": 1}')
    return load_artifact(folder)


@pytest.fixture
def place(tmp_path):
    (tmp_path / "fetched").mkdir()
    return tmp_path / "fetched"


def test_the_whole_artifact_goes_into_a_private_repository(api, server, artifact):
    address = hub.push(api, artifact, REPOSITORY, public_repo=False)

    own = {p.relative_to(artifact.path).as_posix() for p in artifact.path.rglob("*") if p.is_file()}
    assert address == f"{server.url}/{REPOSITORY}"
    assert server.private == {REPOSITORY: True}
    assert set(server.files[REPOSITORY]) == own | {"README.md", MANIFEST}


def test_what_a_killed_push_left_goes_with_the_next_one(api, artifact, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    leave(tmp_path / "tmp", "hub")

    hub.push(api, artifact, REPOSITORY, public_repo=False)

    assert list((tmp_path / "tmp").iterdir()) == []


def test_what_was_pushed_comes_back_equal_and_nothing_else_with_it(api, server, artifact, place):
    hub.push(api, artifact, REPOSITORY, public_repo=False)
    server.files[REPOSITORY]["weights/pytorch_model.bin"] = b"a pickle"

    manifest = hub.pull(api, REPOSITORY, place)

    assert manifest.version == artifact.path.name
    assert load_artifact(place).card == artifact.card
    assert {p.relative_to(place).as_posix() for p in place.rglob("*") if p.is_file()} == set(
        manifest.files
    )
    assert not any("pytorch_model" in request for request in server.seen)


@pytest.mark.parametrize("public", [False, True])
def test_only_who_agreed_is_named_in_the_model_s_card(api, server, artifact, public):
    hub.push(api, artifact, REPOSITORY, public_repo=public)

    readme = server.files[REPOSITORY]["README.md"].decode()
    assert "Its weights have learned the chat" in readme
    assert "- Voices: João, and 1 who did not agree to be named\n" in readme
    assert "- Base: tiny (encoder-decoder)" in readme
    assert "base_model" not in readme
    assert "李雷" not in readme


def test_a_base_of_the_hub_is_linked():
    readme = hub.model_card(card(base="google/flan-t5-small"), REPOSITORY)

    assert "\nbase_model: google/flan-t5-small\n" in readme


@pytest.mark.parametrize(
    ("base", "has_notice"), [("gemma3-270m", True), ("google/gemma-3-1b-pt", True), ("t5", False)]
)
def test_the_terms_of_a_base_accompany_its_models(base, has_notice):
    readme = hub.model_card(card(base=base), REPOSITORY)

    assert ("subject to the Gemma Terms of Use" in readme) is has_notice


def test_in_public_nothing_beside_the_weights_names_who_did_not_agree(api, server, artifact, place):
    hub.push(api, artifact, REPOSITORY, public_repo=True)

    everything = b"".join(server.files[REPOSITORY].values())
    told = json.dumps("李雷")[1:-1].encode()
    assert not server.private[REPOSITORY]
    assert "scorecard.json" not in server.files[REPOSITORY]
    assert "李雷".encode() not in everything
    assert told not in everything
    assert b"/home/hugo" not in everything
    hub.pull(api, REPOSITORY, place)
    assert load_artifact(place).card.roster.voices == (JOAO,)
    assert load_artifact(place).card.learned == ("João",)


def test_in_public_no_optout_names_an_account():
    told = Decision(8, "optout", datetime(2024, 1, 1, tzinfo=UTC))

    assert hub.public_card(card(roster=replace(ROSTER, optouts=(told,)))).roster.optouts == ()


def test_a_chat_that_is_nobody_s_secret_is_pushed_as_it_is():
    told = card(public=True, scores=SCORES)

    assert hub.public_card(told) == told


def test_everybody_who_agreed_stays():
    both = replace(ROSTER, people=(JOAO, replace(LI, imitate="yes"), Person("Zé", (9,))))

    kept = hub.public_card(card(roster=both))

    assert [person.name for person in kept.roster.people] == ["João", "李雷"]
    assert kept.learned == ("João", "李雷")


def test_a_repository_that_anybody_can_read_is_refused_unless_said(api, server, artifact):
    server.add(REPOSITORY, {}, private=False)

    with pytest.raises(ArtifactError, match="anybody can read hugo/friends.*--public-repo"):
        hub.push(api, artifact, REPOSITORY, public_repo=False)

    assert server.files[REPOSITORY] == {}


@pytest.mark.parametrize(
    ("name", "content"),
    [("tokenizer.json", b"[]"), ("tokenizer.json", b"[0]"), (MANIFEST, b"{}")],
    ids=["another content", "another size", "no manifest"],
)
def test_a_repository_that_was_altered_is_refused_and_nothing_is_left(
    api, server, artifact, place, name, content
):
    hub.push(api, artifact, REPOSITORY, public_repo=False)
    server.files[REPOSITORY][name] = content

    with pytest.raises(ArtifactError, match="was altered|damaged or modified model"):
        hub.pull(api, REPOSITORY, place)

    assert [p for p in place.rglob("*") if p.is_file()] == []


def test_a_repository_of_something_else_is_refused(api, server, place):
    server.add(REPOSITORY, {"pytorch_model.bin": b"x"})

    with pytest.raises(ArtifactError, match="contains no model that Understudy pushed"):
        hub.pull(api, REPOSITORY, place)


def closed_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def test_offline_everything_fails_in_one_clear_line(artifact, place):
    api = HfApi(endpoint=f"http://127.0.0.1:{closed_port()}", token=fake_hub.TOKEN)

    for attempt in (
        lambda: hub.require_sign_in(api),
        lambda: hub.push(api, artifact, REPOSITORY, public_repo=False),
        lambda: hub.pull(api, REPOSITORY, place),
    ):
        with pytest.raises(ArtifactError, match="cannot be reached.*go online") as caught:
            attempt()
        assert "\n" not in str(caught.value)


def test_nobody_signed_in_is_said(server, monkeypatch, tmp_path):
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))

    with pytest.raises(ArtifactError, match="hf auth login"):
        hub.require_sign_in(HfApi(endpoint=server.url))


def test_a_token_that_is_wrong_is_said(server):
    with pytest.raises(ArtifactError, match="sign in with one that may"):
        hub.require_sign_in(HfApi(endpoint=server.url, token="hf_wrong"))


def test_who_is_signed_in_is_told(api):
    assert hub.require_sign_in(api) == "hugo"


@pytest.mark.parametrize("name", ["a b", "a/b/c", "--x", ""])
def test_no_repository_s_name_is_said(api, artifact, name):
    with pytest.raises(ArtifactError, match="not a repository name"):
        hub.push(api, artifact, name, public_repo=False)


def test_a_repository_that_is_not_there_is_said(api, place):
    with pytest.raises(ArtifactError, match="no hugo/friends that you may read"):
        hub.pull(api, REPOSITORY, place)


def test_a_hub_that_refuses_is_said(api, server, artifact):
    server.refuses = True

    with pytest.raises(ArtifactError, match="sign in with one that may"):
        hub.push(api, artifact, REPOSITORY, public_repo=False)
