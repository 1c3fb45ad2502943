"""What every test shares; the services are in tests/services.py."""

import os
import signal

import pytest
from hypothesis import settings

pytest_plugins = ["tests.services", "tests.browser"]

# A shared machine is slow at times; that is no finding about the code.
settings.register_profile("greenroom", deadline=None, print_blob=True, max_examples=40)
settings.register_profile("thorough", deadline=None, print_blob=True, max_examples=1000)
settings.load_profile("greenroom")


# Whoever starts the tests in the background of a script has them ignore Ctrl-C, and so would all that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the settings of whoever runs the tests out of them."""
    for name in os.environ:
        if name.startswith("GREENROOM_") and not name.startswith("GREENROOM_TEST_"):
            monkeypatch.delenv(name)
