"""A trained model for the commands."""

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc):
    """Use a model of one family: the commands do not know which one they use."""
    if "trained" in metafunc.fixturenames:
        one = pytest.mark.parametrize("trained", ["decoder-only"], indirect=True)
        metafunc.definition.add_marker(one)
