"""Export of a model to one file, and import of valid and harmful files."""

import io
import json
import stat
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model.artifacts import archive as bundle
from model.artifacts.archive import MANIFEST, Manifest, build_manifest
from model.artifacts.artifact import load_artifact
from model.artifacts.registry import Registry
from model.errors import ArtifactError
from tests.leftovers import leave
from tests.model.fake_artifacts import make


@pytest.fixture
def artifact(tmp_path):
    folder = make(tmp_path / "0007-3f2a9c01", words="weights " * 500)
    (folder / "lines.index").write_bytes(bytes(range(256)))
    (folder / "weights").mkdir()
    (folder / "weights" / "model.safetensors").write_bytes(b"\0" * 5000)
    return load_artifact(folder)


@pytest.fixture
def file(artifact, tmp_path):
    bundle.write_bundle(artifact, tmp_path / "model.zip")
    return tmp_path / "model.zip"


@pytest.fixture
def registry(tmp_path):
    return Registry(tmp_path / "models")


def bring(registry, file):
    with bundle.open_bundle(file) as packed:
        received = bundle.import_artifact(
            registry, str(file), lambda f: packed.unpack(f, lambda _: None)
        )
    return received.name


def files_of(folder):
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }


def rewritten(file, change):
    """Write a bundle again with changed entries and the same manifest."""
    with zipfile.ZipFile(file) as archive:
        entries = {info.filename: archive.read(info) for info in archive.infolist()}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        change(archive, entries)
        for name, content in entries.items():
            archive.writestr(name, content)


def test_an_exported_model_is_imported_byte_for_byte_as_the_next_version(
    artifact, file, registry, tmp_path
):
    registry.add(make(tmp_path / "another"))

    name = bring(registry, file)

    wanted = files_of(artifact.path)
    del wanted["weights/model.safetensors"]
    assert name.startswith("0002-")
    assert files_of(registry.root / "versions" / name) == wanted
    assert registry.promote(name) == name


def test_of_two_imports_of_one_file_at_once_one_makes_the_version(file, registry, monkeypatch):
    both_are_unpacked, store_imported = threading.Barrier(2, timeout=20), bundle.store_imported

    def store(*given):
        both_are_unpacked.wait()
        store_imported(*given)

    monkeypatch.setattr(bundle, "store_imported", store)

    def add(_):
        with bundle.open_bundle(file) as packed:
            return bundle.import_artifact(
                registry, str(file), lambda folder: packed.unpack(folder, lambda _: None)
            )

    with ThreadPoolExecutor(2) as threads:
        received = list(threads.map(add, range(2)))

    assert registry.names == [received[0].name] == [received[1].name]
    assert sorted(one.is_new for one in received) == [False, True]


def test_weights_for_further_training_are_exported_on_request(artifact, registry, tmp_path):
    manifest = bundle.write_bundle(artifact, tmp_path / "whole.zip", with_weights=True)

    name = bring(registry, tmp_path / "whole.zip")

    assert "weights/model.safetensors" in manifest.files
    assert files_of(registry.root / "versions" / name) == files_of(artifact.path)


def test_equal_models_give_equal_bundles_private_to_the_owner(artifact, file, tmp_path):
    (artifact.path / "roster.json").touch()

    bundle.write_bundle(artifact, tmp_path / "again.zip")

    assert (tmp_path / "again.zip").read_bytes() == file.read_bytes()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_unpacked_files_are_private_to_the_owner(file, registry):
    bring(registry, file)

    assert {path.stat().st_mode & 0o077 for path in registry.root.rglob("*")} == {0}


def test_progress_adds_up_to_the_total_size(artifact, tmp_path):
    told = []

    manifest = bundle.write_bundle(artifact, tmp_path / "m.zip", on_bytes=told.append)

    assert sum(told) == manifest.size


@pytest.mark.parametrize("name", ["weights/training_args.bin", "optimizer.pt", "a/b.json"])
def test_a_model_with_a_forbidden_file_is_not_exported(artifact, tmp_path, name):
    (artifact.path / name).parent.mkdir(exist_ok=True)
    (artifact.path / name).write_bytes(b"x")

    with pytest.raises(ArtifactError, match="is not part of a model"):
        bundle.write_bundle(artifact, tmp_path / "m.zip")

    assert not (tmp_path / "m.zip").exists()


def test_an_existing_file_is_not_overwritten(artifact, file):
    before = file.read_bytes()

    with pytest.raises(ArtifactError, match="already exists"):
        bundle.write_bundle(artifact, file)

    assert file.read_bytes() == before


def test_missing_weights_are_reported(tmp_path):
    bare = load_artifact(make(tmp_path / "bare"))

    with pytest.raises(ArtifactError, match="no weights"):
        bundle.write_bundle(bare, tmp_path / "m.zip", with_weights=True)


@pytest.mark.parametrize(
    "name",
    ["../x.json", "/x.json", "weights/x.bin", "engine/", "x.pkl", "weights/pickle.pt"],
)
def test_a_bundle_with_a_forbidden_file_is_refused_and_nothing_is_created(file, registry, name):
    rewritten(file, lambda archive, entries: entries.update({name: b"x"}))

    with pytest.raises(ArtifactError, match="is not part of a model"):
        bring(registry, file)

    assert not registry.root.exists()


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO, stat.S_IFDIR])
def test_a_bundle_with_a_link_or_a_device_is_refused(file, registry, kind):
    def change(archive, entries):
        info = zipfile.ZipInfo("model.json")
        info.external_attr = (kind | 0o600) << 16
        archive.writestr(info, entries.pop("model.json"))

    rewritten(file, change)

    with pytest.raises(ArtifactError, match="is not part of a model"):
        bring(registry, file)


@pytest.mark.parametrize("second", ["model.json", "Model.json"])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_bundle_with_two_files_with_one_name_is_refused(file, registry, second):
    rewritten(file, lambda archive, entries: archive.writestr(second, b"{}"))

    with pytest.raises(ArtifactError, match="two with the same name|do not match its manifest"):
        bring(registry, file)


def bomb(file):
    """Write a bundle with correct hashes that unpacks to a thousand times its size."""
    contents = {"engine/model.bin": b"\0" * 50_000_000, "model.json": b"", "roster.json": b"",
                "tokenizer.json": b""}  # fmt: skip
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
        files = {
            n: bundle.copy_and_hash(io.BytesIO(c), None, lambda _: None)
            for n, c in contents.items()
        }
        archive.writestr(MANIFEST, Manifest("0001-00000000", files).to_text())


def test_a_zip_bomb_is_refused_before_unpacking(tmp_path, registry):
    bomb(tmp_path / "bomb.zip")

    with pytest.raises(ArtifactError, match="would unpack to 50,000,000 bytes"):
        bring(registry, tmp_path / "bomb.zip")

    assert not registry.root.exists()


def test_a_disk_that_is_too_small_is_reported(file, registry, monkeypatch):
    monkeypatch.setattr(bundle.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 10}))

    with pytest.raises(ArtifactError, match="only 10 are available"):
        bring(registry, file)


def test_a_file_that_differs_from_its_hash_is_refused(file, registry):
    rewritten(file, lambda _, entries: entries.update({"tokenizer.json": b"[]"}))

    with pytest.raises(ArtifactError, match="tokenizer.json does not match the manifest"):
        bring(registry, file)

    assert list(registry.root.iterdir()) == []


def test_a_model_with_another_prompt_is_refused_with_the_file_s_name(artifact, registry, tmp_path):
    card = json.loads((artifact.path / "model.json").read_text("utf-8"))
    (artifact.path / "model.json").write_text(json.dumps({**card, "prompt": "0" * 12}))
    bundle.write_bundle(artifact, tmp_path / "old.zip")

    with pytest.raises(ArtifactError, match=r"^\S*old.zip was trained with another prompt format"):
        bring(registry, tmp_path / "old.zip")

    assert registry.names == []


def test_the_next_export_removes_the_files_of_a_killed_one(artifact, tmp_path):
    leave(tmp_path, "model.zip")

    bundle.write_bundle(artifact, tmp_path / "model.zip")

    assert sorted(path.name for path in tmp_path.iterdir()) == ["0007-3f2a9c01", "model.zip"]


def test_the_next_import_removes_the_files_of_a_killed_one(file, registry):
    registry.root.mkdir()
    leave(registry.root, "import")

    bring(registry, file)

    assert sorted(path.name for path in registry.root.iterdir()) == [
        "import.lock",
        "models.db",
        "versions",
    ]


@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.99])
def test_a_truncated_bundle_is_refused_in_one_line(file, registry, share):
    whole = file.read_bytes()
    file.write_bytes(whole[: int(len(whole) * share)])

    with pytest.raises(ArtifactError, match="damaged") as caught:
        bring(registry, file)

    assert "\n" not in str(caught.value)
    assert registry.names == []


@pytest.mark.parametrize(("until", "since"), [(40, 60), (0, 10)], ids=["the middle", "the start"])
def test_a_bundle_with_a_missing_part_is_refused(file, registry, until, since):
    whole = file.read_bytes()
    file.write_bytes(whole[:until] + whole[since:])

    with pytest.raises(ArtifactError, match="damaged"):
        bring(registry, file)

    assert registry.names == []


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(place=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
def test_an_altered_bundle_is_refused_or_gives_the_same_files(file, tmp_path, place, flip):
    content = bytearray(file.read_bytes())
    content[int(place * len(content))] ^= flip
    altered, target = tmp_path / "altered.zip", Registry(tmp_path / "altered")
    altered.write_bytes(content)

    try:
        name = bring(target, altered)
    except ArtifactError as error:
        assert "\n" not in str(error)  # noqa: PT017  either is right
    else:
        folder = target.root / "versions" / name
        with bundle.open_bundle(file) as packed:
            wanted = packed.manifest
        assert build_manifest(folder, wanted.version, wanted.files, lambda _: None) == wanted
