"""Two keys to look for, and where a key, or a part of it, might show."""

import base64
import json

PSK = "Wm9-tower-hangar-taxiway-42-Qx7"
# Everything that looks different in JSON, in Python's repr and in bytes.
ODD = "ключ\"tower'hangar\\taxiway {Qx7}=漢字 ü42"
# As many characters of it in a row betray it.
_RUN = 8


def _forms(key: str) -> set[str]:
    return {
        key,
        json.dumps(key)[1:-1],
        json.dumps(json.dumps(key))[3:-3],
        repr(key)[1:-1],
        repr(key.encode())[2:-1],
        key.encode().hex(),
        key.encode().hex().upper(),
        base64.b64encode(key.encode()).decode().rstrip("="),
        base64.urlsafe_b64encode(key.encode()).decode().rstrip("="),
    }


def leaked(text: str, *keys: str) -> str:
    """Return what of a key is in the text: eight characters of it, plain or disguised."""
    for key in keys:
        for form in _forms(key):
            for at in range(len(form) - _RUN + 1):
                if form[at : at + _RUN] in text:
                    return form[at : at + _RUN]
    return ""
