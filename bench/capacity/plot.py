"""The samples as a picture: memory and processor of every container, each up to its limit."""

from collections.abc import Sequence
from html import escape

from bench.capacity.figures import MIB, Run, cores

Points = Sequence[tuple[float, float]]
_WIDTH, _PANEL_WIDTH, _PANEL_HEIGHT = 960, 372, 76
_LEFT, _SECOND, _TOP, _ROW = 64, 540, 74, 112
_BLUE, _GREEN, _RED, _INK, _GREY, _RULE = (
    *("#1d6fb8", "#2a8a57", "#c43d3d", "#1f2933", "#5f6c7b", "#e3e8ee"),
)


def svg(run: Run, title: str) -> str:
    """Draw everything."""
    height = _TOP + _ROW * len(run.samples) + 8
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" '
        f'height="{height}" font-family="system-ui, DejaVu Sans, sans-serif" font-size="12" '
        f'role="img"><title>{escape(title)}</title>',
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        _text(_LEFT, 24, title, size=16, weight=600),
        _text(_LEFT, 50, "Memory, MiB", weight=600, colour=_BLUE),
        _text(_SECOND, 50, "Processor, cores", weight=600, colour=_GREEN),
        _text(_LEFT + _PANEL_WIDTH, 50, "dashed: the limit", anchor="end", colour=_RED),
        _text(_SECOND + _PANEL_WIDTH, 50, "dashed: the limit", anchor="end", colour=_RED),
    ]
    for row, (service, samples) in enumerate(run.samples.items()):
        limit, top = run.limits[service], _TOP + _ROW * row
        memory = [(one.at_s, one.working_set_bytes / MIB) for one in samples]
        parts += _panel(_LEFT, top, service, memory, limit.memory_bytes / MIB, _BLUE, 0)
        parts += _panel(_SECOND, top, service, cores(samples), limit.cores, _GREEN, 2)
    return "\n".join([*parts, "</svg>", ""])


def _panel(
    left: float, top: float, name: str, points: Points, limit: float, colour: str, digits: int
) -> list[str]:
    end_s = points[-1][0]
    highest = max(value for _, value in points)
    scale = max(limit, highest) * 1.08
    bottom = top + _PANEL_HEIGHT

    def at(second: float, value: float) -> tuple[float, float]:
        return left + second / end_s * _PANEL_WIDTH, bottom - value / scale * _PANEL_HEIGHT

    line = " ".join("{:.1f},{:.1f}".format(*at(*point)) for point in points)
    first, last = at(points[0][0], 0), at(end_s, 0)
    area = f"{first[0]:.1f},{first[1]:.1f} {line} {last[0]:.1f},{last[1]:.1f}"
    limit_y = at(0, limit)[1]
    right = left + _PANEL_WIDTH
    minutes = range(0, int(end_s / 60) + 1, max(1, round(end_s / 60 / 5)))
    return [
        *(f'<path d="M{at(60 * n, 0)[0]:.1f},{top}V{bottom}" stroke="{_RULE}"/>' for n in minutes),
        f'<polygon points="{area}" fill="{colour}" fill-opacity="0.14"/>',
        f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.6" '
        'stroke-linejoin="round"/>',
        f'<line x1="{left}" x2="{right}" y1="{limit_y:.1f}" y2="{limit_y:.1f}" stroke="{_RED}" '
        'stroke-dasharray="5 4"/>',
        f'<line x1="{left}" x2="{right}" y1="{bottom}" y2="{bottom}" stroke="{_GREY}"/>',
        _text(left - 6, limit_y + 4, f"{limit:.{digits}f}", anchor="end", colour=_RED),
        _text(left - 6, bottom + 4, "0", anchor="end", colour=_GREY),
        _text(left + 6, limit_y + 16, name, weight=600),
        _text(
            right - 4, limit_y + 16, f"most {highest:.{digits + 1}f}", anchor="end", colour=_GREY
        ),
        *(
            _text(at(60 * n, 0)[0], bottom + 15, f"{n} min", anchor="middle", colour=_GREY, size=10)
            for n in minutes
        ),
    ]


def _text(
    x: float, y: float, words: str, *, size: int = 12, weight: int = 400, anchor: str = "start",
    colour: str = _INK,
) -> str:  # fmt: skip
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" font-weight="{weight}" '
        f'text-anchor="{anchor}" fill="{colour}">{escape(words)}</text>'
    )
