"""What retrainings leave in a folder of models: of a killed one all goes, of others what is old."""

import json
import shutil
from pathlib import Path

from model.registry import Registry, receipt_file
from pipeline.retrain.erasure import prune
from pipeline.retrain.known import DATASETS, remove_version


def clear(registry: Registry) -> None:
    """Remove what a run that was killed has left: versions without a receipt, and datasets."""
    registry.finish_removals()
    place = (registry.root / DATASETS).resolve()
    for name in registry.names:
        if registry.serves(name) or receipt_file(registry.root, name).is_file():
            continue
        if _is_made_of(registry, name, place):
            remove_version(registry, name)
    prune(registry)


def tidy(registry: Registry, keep: int, started: float) -> None:
    """Remove versions beyond the newest, and whatever only they or nobody needs."""
    for name in registry.names[:-keep]:
        if not registry.serves(name):
            remove_version(registry, name)
    prune(registry)
    for folder in (registry.root / "bases" / "converted").glob("*"):
        if folder.stat().st_mtime < started:  # an untuned base of an older dataset
            shutil.rmtree(folder)


def _is_made_of(registry: Registry, name: str, place: Path) -> bool:
    try:
        told = json.loads((registry.root / "versions" / name / "model.json").read_text("utf-8"))
        return Path(told["provenance"]["dataset"]["folder"]).parent == place
    except (OSError, ValueError, LookupError, TypeError):
        return False
