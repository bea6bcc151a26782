"""Draws throughput and latency by number of callers as an SVG for light and dark pages."""
import math

WIDTH, HEIGHT = 720, 400
LEFT, RIGHT, TOP, BOTTOM = 70, 650, 60, 330

STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #333 }
  .title { font-size: 15px; font-weight: 600 }
  .grid { stroke: #888; stroke-opacity: 0.3 }
  .bar { fill: #4c8fd6 }
  .line { fill: none; stroke: #d9822b; stroke-width: 2.5 }
  .dot { fill: #d9822b }
  .bars { fill: #2f6fb3 }
  .lines { fill: #b5651d }
  .middle { text-anchor: middle }
  .end { text-anchor: end }
  @media (prefers-color-scheme: dark) {
    text { fill: #ddd }
    .bars { fill: #7fb3ea }
    .lines { fill: #f0a35b }
  }"""


def draw(rows):
    """Rows have callers, requests per second, 95th percentile in seconds; the axis of callers is logarithmic."""
    first, last = math.log2(rows[0][0]), math.log2(rows[-1][0])
    max_rate, max_latency_s = _axis_top(max(row[1] for row in rows)), _axis_top(max(row[2] for row in rows))
    slot_width = (RIGHT - LEFT) / max(1, len(rows))

    def x(callers):
        share = (math.log2(callers) - first) / (last - first) if last > first else 0.5
        return LEFT + slot_width / 2 + share * (RIGHT - LEFT - slot_width)

    def y(value, top):
        return BOTTOM - value / top * (BOTTOM - TOP)

    parts = [f'<text class="title" x="{LEFT}" y="24">Closed loop: throughput and latency</text>',
             f'<text class="bars" x="{LEFT}" y="46">requests per second (bars, left)</text>',
             f'<text class="lines end" x="{RIGHT}" y="46">95th percentile in seconds (line, right)</text>']
    for step in range(5):
        height = y(step, 4)
        parts += [f'<line class="grid" x1="{LEFT}" x2="{RIGHT}" y1="{height:.1f}" y2="{height:.1f}"/>',
                  f'<text class="bars end" x="{LEFT - 8}" y="{height + 4:.1f}">{max_rate * step / 4:g}</text>',
                  f'<text class="lines" x="{RIGHT + 8}" y="{height + 4:.1f}">{max_latency_s * step / 4:g}</text>']
    width = min(48.0, 0.55 * slot_width)
    for callers, speed, _ in rows:
        top = y(speed, max_rate)
        parts += [f'<rect class="bar" x="{x(callers) - width / 2:.1f}" y="{top:.1f}" width="{width:.1f}" '
                  f'height="{BOTTOM - top:.1f}" rx="2"><title>{callers} callers: {speed:.2f} per second</title></rect>',
                  f'<text class="middle" x="{x(callers):.1f}" y="{BOTTOM + 20}">{callers}</text>']
    points = [(x(callers), y(seconds, max_latency_s), seconds) for callers, _, seconds in rows]
    parts.append('<polyline class="line" points="' + " ".join(f"{a:.1f},{b:.1f}" for a, b, _ in points) + '"/>')
    parts += [f'<circle class="dot" cx="{a:.1f}" cy="{b:.1f}" r="4"><title>{seconds:.2f} s</title></circle>'
              for a, b, seconds in points]
    parts.append(f'<text class="middle" x="{(LEFT + RIGHT) / 2:.0f}" y="{BOTTOM + 44}">callers</text>')
    body = "\n".join(f"  {part}" for part in parts)
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
            f'aria-label="Requests per second and 95th percentile by number of callers">\n'
            f"  <style>{STYLE}\n  </style>\n{body}\n</svg>\n")


def _axis_top(value):
    """The next of 1, 2, 4, 6, 8, 10 times a power of ten: a maximum of the axis with round quarters."""
    if value <= 0:
        return 1.0
    power = 10 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 4, 6, 8, 10) if step * power >= value)
