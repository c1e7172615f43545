"""Hostile input: one module a target, used by hypothesis and by a coverage-guided fuzzer alike.

Each module has `one_input(data)`, which raises where something is wrong, and `seeds()`, real
examples to begin with. `python -m tests.fuzz` runs them; see docs/fuzzing.md.
"""
