"""Let the helpers' assertions say what they compared, as those of tests do."""

import pytest

pytest.register_assert_rewrite("tests.model.promises", "tests.model.stage")
