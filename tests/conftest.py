"""What no test may leave behind."""

import logging
import sys
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def same_logging() -> Iterator[None]:
    """Commands set up the logging of their process, which here is that of all tests."""
    root, hook = logging.getLogger(), sys.excepthook
    handlers, level = [*root.handlers], root.level
    yield
    root.handlers, sys.excepthook = handlers, hook
    root.setLevel(level)
