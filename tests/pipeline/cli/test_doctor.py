"""`understudy doctor`: what it finds on this machine and in a folder."""

import json

import pytest
from rich.cells import cell_len

from pipeline.training import bases
from tests.command_line import understudy
from tests.test_packaging import run_without_extras


@pytest.fixture(autouse=True)
def _offline(monkeypatch):
    import huggingface_hub

    monkeypatch.setattr(bases.urllib.request, "getproxies", dict)
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")


def topics(result):
    """Return the severity of each topic."""
    lines = [line for line in result.stdout.splitlines() if line[:2] in {"ok", "no", "FI"}]
    return {line[7:].split(":")[0]: line[:7].strip() for line in lines}


def test_an_empty_folder_is_usable_and_says_what_to_do(tmp_path):
    result = understudy("doctor", cwd=tmp_path)

    found = topics(result)
    assert result.returncode == 0, result.stdout
    assert {found[topic] for topic in ("hub", "dataset", "model", ".env")} == {"note"}
    assert {found[topic] for topic in ("python", "machine", "training")} == {"ok"}
    assert "smollm2" in result.stdout
    assert "`understudy start` trains the first one" in result.stdout
    lines = [line for line in result.stdout.splitlines() if str(tmp_path) not in line]
    assert max(map(cell_len, lines)) <= 80


def test_a_model_its_dataset_and_settings_are_found(trained, tmp_path):
    (tmp_path / ".env").write_text("BOT_TOKEN=1:x\n", "utf-8")
    (tmp_path / ".env").chmod(0o600)

    result = understudy("doctor", "--models-dir", trained.root, cwd=tmp_path)

    found = topics(result)
    assert result.returncode == 0, result.stdout
    assert {found[topic] for topic in ("dataset", "model", ".env")} == {"ok"}
    assert "Hugo, Raul, Tiago" in " ".join(result.stdout.split())


def test_settings_that_others_can_read_prevent_use(tmp_path):
    (tmp_path / ".env").write_text("BOT_TOKEN=1:x\n", "utf-8")
    (tmp_path / ".env").chmod(0o644)

    result = understudy("doctor", "--json", cwd=tmp_path)

    value = json.loads(result.stdout)
    assert result.returncode == 1
    assert value["usable"] is False
    [problem] = [one for one in value["findings"] if one["severity"] == "fix"]
    assert problem["topic"] == ".env"
    assert value["machine"]["cores"] >= 1
    assert {base["fits"] for base in value["bases"]} <= {"all weights", "lora", "no"}
    assert next(base for base in value["bases"] if base["name"] == "smollm2")["weights"] > 1e8


def test_a_damaged_model_prevents_use(trained, tmp_path):
    version = trained.root / "versions" / trained.current / "tokenizer.json"
    content = version.read_bytes()
    version.write_bytes(b"{}")

    result = understudy("doctor", "--models-dir", trained.root, cwd=tmp_path)

    version.write_bytes(content)
    assert result.returncode == 1
    assert topics(result)["model"] == "FIX"


def test_without_the_training_extra_it_still_runs(tmp_path):
    result = run_without_extras(tmp_path, ("doctor",))

    assert result.stderr == ""
    assert "status 0" in result.stdout
    assert topics(result)["training"] == "note"
    assert "weights" not in result.stdout
