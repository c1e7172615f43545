"""One target under the coverage-guided fuzzer: `python -m tests.fuzz.cover TARGET …`.

What follows the target is libFuzzer's. The process ends with the first input that fails.
"""

import importlib
import sys

import atheris

with atheris.instrument_imports(include=["reconciler", "tests.fuzz", "vici"]):
    target = importlib.import_module(f"tests.fuzz.{sys.argv[1]}")

if __name__ == "__main__":
    atheris.Setup([sys.argv[0], *sys.argv[2:]], target.one_input)
    atheris.Fuzz()
