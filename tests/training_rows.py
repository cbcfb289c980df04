"""Turn encoded examples into the table that the Trainer reads."""

from collections.abc import Sequence

import datasets

from pipeline.training.bases import Base
from pipeline.training.encoding import Example, row_of


def rows_of(base: Base, examples: Sequence[Example]) -> datasets.Dataset:
    """Return one row per example."""
    return datasets.Dataset.from_list([row_of(example, base.family) for example in examples])
