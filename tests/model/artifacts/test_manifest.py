"""The files that a model may contain, and the manifest of their hashes."""

import json

import pytest

from model.artifacts.archive import MANIFEST, Entry, Manifest, is_allowed_name

RIGHT = {"size": 1, "sha256": "0" * 64}
NEEDED = dict.fromkeys(["model.json", "roster.json", "tokenizer.json", "engine/model.bin"], RIGHT)


@pytest.mark.parametrize(
    "name",
    [
        "../model.json", "/model.json", "engine/../model.json", "engine\\model.bin", "a/",
        ".hidden", "engine/.x.json", "weights/pytorch_model.bin", "model.bin", "x.pkl",
        "weights/optimizer.pt",
        "engine/engine/model.bin", "C:model.json", "model.json\0.txt", "", "x.py", "engine//a.json",
        "model.json\n", "ｍodel.json",
    ],
)  # fmt: skip
def test_other_file_names_are_not_allowed(name):
    assert not is_allowed_name(name)


@pytest.mark.parametrize(
    "files",
    [
        {}, [], {"model.json": RIGHT}, {**NEEDED, "../x.json": RIGHT}, {**NEEDED, "x.pkl": RIGHT},
        {**NEEDED, "MODEL.json": RIGHT}, {**NEEDED, "x.json": {"size": -1, "sha256": "0" * 64}},
        {**NEEDED, "x.json": {"size": True, "sha256": "0" * 64}},
        {**NEEDED, "x.json": {"size": 1, "sha256": "0"}}, {**NEEDED, "x.json": 1},
        {**NEEDED, "x.json": {"size": 1, "sha256": 2}}, {**NEEDED, MANIFEST: RIGHT},
        {**NEEDED, **{f"{n}.json": RIGHT for n in range(300)}},
    ],
)  # fmt: skip
def test_an_invalid_manifest_is_refused(files):
    value = {"format": 1, "version": "1", "sha256": "0" * 64, "files": files}

    with pytest.raises(ValueError, match="."):
        Manifest.from_text(json.dumps(value))


def test_a_manifest_reads_back_equal_and_its_own_hash_is_checked():
    manifest = Manifest("0001-00000000", {name: Entry(**RIGHT) for name in NEEDED})

    assert Manifest.from_text(manifest.to_text()) == manifest
    with pytest.raises(ValueError, match="own hash"):
        Manifest.from_text(manifest.to_text().replace(manifest.sha256, "0" * 64))


@pytest.mark.parametrize(
    "name",
    [
        "model.json", "roster.json", "tokenizer.json", "lines.index", "voices.index",
        "propensity.json", "scorecard.json",
        "engine/model.bin", "engine/shared_vocabulary.json", "weights/model-1-of-2.safetensors",
    ],
)  # fmt: skip
def test_the_files_of_an_artifact_are_allowed(name):
    assert is_allowed_name(name)
