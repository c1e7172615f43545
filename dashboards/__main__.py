"""Write the dashboards: `python -m dashboards`."""

import json
from pathlib import Path

from dashboards import airport, fleet

FOLDER = Path(__file__).parents[1] / "manifests" / "grafana" / "dashboards"


def documents() -> dict[str, str]:
    """Return the text of each file by its name."""
    made = {"fleet.json": fleet.dashboard(), "airport.json": airport.dashboard()}
    return {name: json.dumps(one.json(), indent=2) + "\n" for name, one in made.items()}


def main() -> None:
    """Write all files."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in documents().items():
        (FOLDER / name).write_text(text)


if __name__ == "__main__":
    main()
