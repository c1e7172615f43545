"""One target with blind mutations, where there is no atheris, or for many inputs in little time.

`python -m tests.fuzz.blind TARGET CORPUS INPUTS ARTIFACT_PREFIX LONGEST_S`. The process ends with
the first input that fails, which is left as a file.
"""

import hashlib
import importlib
import random
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Never

_EVERY = 10_000


def mutated(seed: bytes, dice: random.Random) -> bytes:
    """Change some bytes, take some away, put some in."""
    made = bytearray(seed)
    for _ in range(dice.randrange(1, 8)):
        at = dice.randrange(len(made) + 1)
        match dice.randrange(4):
            case 0:
                made[at : at + 1] = bytes([dice.randrange(256)])
            case 1:
                del made[at : at + dice.randrange(9)]
            case 2:
                made[at:at] = dice.randbytes(dice.randrange(9))
            case _:
                made[at:at] = made[at // 2 : at][:40]
    return bytes(made[:4096])


def main() -> int:
    """Run one target."""
    name, corpus, inputs, prefix, longest_s = sys.argv[1:]
    target = importlib.import_module(f"tests.fuzz.{name}")
    seeds = [path.read_bytes() for path in Path(corpus).iterdir()]
    dice = random.Random()  # noqa: S311 - each run tries others
    signal.signal(signal.SIGALRM, _hangs)
    began_s = time.monotonic()
    for number in range(1, int(inputs) + 1):
        chosen = dice.choice(seeds) if number % 4 else dice.randbytes(dice.randrange(200))
        data = seeds[number - 1] if number <= len(seeds) else mutated(chosen, dice)
        signal.setitimer(signal.ITIMER_REAL, float(longest_s))
        try:
            target.one_input(data)
        except Exception:  # noqa: BLE001 - any is a finding
            signal.setitimer(signal.ITIMER_REAL, 0)
            traceback.print_exc()
            found = Path(f"{prefix}blind-{hashlib.sha256(data).hexdigest()[:16]}")
            found.write_bytes(data)
            print(f"#{number} FAILED with {found}")
            return 1
        if number % _EVERY == 0 or number == int(inputs):
            rate = number / (time.monotonic() - began_s)
            print(f"#{number} well, {rate:.0f} a second", flush=True)
    signal.setitimer(signal.ITIMER_REAL, 0)
    return 0


def _hangs(_: int, __: object) -> Never:
    raise TimeoutError("one input takes too long")


if __name__ == "__main__":
    sys.exit(main())
