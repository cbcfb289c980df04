"""A workshop, and one whose first version serves."""

import pytest

from tests.pipeline.retrain.workshop import Workshop


@pytest.fixture
def shop(tmp_path):
    return Workshop(tmp_path)


@pytest.fixture
def running(shop):
    """A workshop whose first version serves."""
    assert shop.first().promoted
    return shop
