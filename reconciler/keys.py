"""New pre-shared keys.

Letters and digits only: every router takes them, no form, shell or configuration language gives
them a meaning, and a double click selects the whole. The first one is a letter: many programs read
a key that begins with 0x or 0s as an encoded one.
"""

import argparse
import math
import secrets
import string

from reconciler.settings import Settings

_LETTERS = string.ascii_letters
_CHARACTERS = string.ascii_letters + string.digits
LEAST_BITS, MOST_BITS = 256, 1024


def new_key(bits: int = LEAST_BITS) -> str:
    """Return a key with at least so many bits of randomness."""
    left = bits - math.log2(len(_LETTERS))
    count = math.ceil(left / math.log2(len(_CHARACTERS)))
    rest = "".join(secrets.choice(_CHARACTERS) for _ in range(count))
    return secrets.choice(_LETTERS) + rest


def parse_bits(text: str) -> int:
    """Read the number of bits. Raises argparse.ArgumentTypeError."""
    if not (text.isascii() and text.isdecimal() and LEAST_BITS <= int(text) <= MOST_BITS):
        raise argparse.ArgumentTypeError(f"{text!r}: write {LEAST_BITS} to {MOST_BITS}")
    return int(text)


def psk(_settings: Settings, options: argparse.Namespace) -> dict[str, object]:
    """Make a key; nothing is stored."""
    key = new_key(options.bits)
    return {"psk": key, "bits": options.bits, "text": key}


def psk_options(parser: argparse.ArgumentParser) -> None:
    """Take the strength."""
    parser.add_argument(
        "--bits",
        type=parse_bits,
        default=LEAST_BITS,
        metavar="N",
        help=f"bits of randomness, {LEAST_BITS} to {MOST_BITS}; default: {LEAST_BITS}",
    )
