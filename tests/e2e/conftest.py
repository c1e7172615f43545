"""One stack for all e2e tests; each test leaves it as it found it: three tunnels, all up."""

from collections.abc import Iterator

import pytest

from tests.e2e.stack import (
    Stack,
    keep_evidence,
    left_over,
    make_elsewhere,
    remove_elsewhere,
    set_aside,
)


@pytest.fixture(scope="session")
def whole_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = Stack(tmp_path_factory.mktemp("stack"))
    with set_aside():
        stack.demo("down")
        make_elsewhere()
        try:
            stack.demo_output = stack.demo("up")
            yield stack
        finally:
            keep_evidence(stack, "end")
            stack.demo("down")
            remove_elsewhere()
        assert left_over() == [], "`demo down` removes everything"


@pytest.fixture
def stack(whole_stack: Stack, request: pytest.FixtureRequest) -> Iterator[Stack]:
    whole_stack.wait_until_all_up()
    failed_before = request.session.testsfailed
    yield whole_stack
    if request.session.testsfailed > failed_before:
        keep_evidence(whole_stack, request.node.name)
