"""The page of a run: one HTML file to open, mail or print, with no script and nothing to fetch.

    page = RunPage("voc07_r101", "ResNet-101, VOC 2007 test", command="resdet-eval-voc configs/voc07_r101.py ...")
    page.figures.append(("mAP@.5", "76.4", "paper: 76.4"))
    page.curves.append(("Precision and recall", figure_svg(figure)))
    write_page("runs/voc07_r101/report.html", page)

Sections without content are left out. Everything handed in as text is escaped; only the SVG of `curves` is taken as
it is. A content security policy in the page forbids scripts and connections, whatever a class may be called.
"""

from __future__ import annotations

import base64
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import jinja2
import numpy as np

from resdet.report.drawing import Image, encode_image, shrink, write_whole
from resdet.report.tables import format_ap, format_count

PICTURE_WIDTH = 900  # pixels; with JPEG quality 85 a dozen pictures stay near two megabytes
JPEG_QUALITY = 85
MOST_CLASSES = 60  # in a table; see class_table
ROWS_A_TABLE = 10  # the table of classes is set in up to three parts beside one another
logger = logging.getLogger("resdet")


@dataclass(frozen=True)
class ClassTable:
    """A bar for every class; empty: no table."""

    rows: list[tuple[str, float, int]] = field(default_factory=list)  # name, 0..1 or NaN, how many
    title: str = "AP per class"
    measure: str = "AP"  # in percent
    counted: str = "objects"


@dataclass
class RunPage:
    """What the page of a run shows, from top to bottom."""

    title: str
    subtitle: str = ""
    command: str = ""  # the command line that made the run
    figures: list[tuple[str, str, str]] = field(default_factory=list)  # headline tiles: name, value as shown, note
    warnings: list[str] = field(default_factory=list)
    per_class: ClassTable = field(default_factory=ClassTable)
    curves: list[tuple[str, str]] = field(default_factory=list)  # title, <svg> from `curves.figure_svg`
    pictures: list[tuple[str, Image]] = field(default_factory=list)  # caption, uint8 [H, W, 3] RGB
    config_text: str = ""
    environment: dict[str, str] = field(default_factory=dict)


def write_page(path: str | Path, run: RunPage) -> Path:
    """Write the page as one HTML file and say where it is; a half-written file never appears. Returns its path.

    Raises:
        UserError: the folder cannot be written.
    """
    path = Path(path)
    write_whole(path, render_page(run).encode())
    logger.info("page: %s", path)
    return path


def class_table(
    names: Sequence[str], shares: np.ndarray, counts: np.ndarray, title: str, measure: str, counted: str
) -> ClassTable:
    """A row a class in the classes' order; of more than sixty the worst sixty alone, the worst first.

    shares 0..1 or NaN [K], counts int [K].
    """
    order, title = np.arange(len(names)), f"{title}, number of classes: {len(names)}"
    if len(names) > MOST_CLASSES:
        order = np.argsort(shares, kind="stable")[:MOST_CLASSES]
        title = f"The {MOST_CLASSES} worst of {len(names)} classes"
    return ClassTable([(names[i], float(shares[i]), int(counts[i])) for i in order.tolist()], title, measure, counted)


def render_page(run: RunPage) -> str:
    """The page as text."""
    return _TEMPLATE.render(
        run=run,
        css=_CSS,
        columns=_tile_columns(len(run.figures)),
        class_tables=_class_tables(run.per_class.rows),
        pictures=[(caption, *_jpeg(image)) for caption, image in run.pictures],
    )


def _class_tables(rows: Sequence[tuple[str, float, int]]) -> list[list[dict[str, str]]]:
    """The rows cut into one to three parts of about equal length, numbers as text."""
    parts = min(3, math.ceil(len(rows) / ROWS_A_TABLE))
    shown = [
        {"name": name, "ap": format_ap(ap), "width": _percent(ap), "objects": format_count(objects)}
        for name, ap, objects in rows
    ]
    length = math.ceil(len(rows) / parts) if parts else 1
    return [shown[i : i + length] for i in range(0, len(shown), length)]


def _tile_columns(count: int) -> int:
    """At most six tiles in a row, rows of about equal length: 7 and 8 make two rows of four."""
    return math.ceil(count / math.ceil(count / 6)) if count else 1


def _percent(ap: float) -> str:
    """The width of a bar; nothing for an undefined AP."""
    return "0" if math.isnan(ap) else f"{100 * min(max(ap, 0.0), 1.0):.1f}"


def _jpeg(image: Image) -> tuple[str, int, int]:
    """A data URI, width and height."""
    small = shrink(image, PICTURE_WIDTH)
    data = base64.b64encode(encode_image(small, ".jpg", JPEG_QUALITY)).decode()
    return f"data:image/jpeg;base64,{data}", small.shape[1], small.shape[0]


_CSS = """
:root {
  color-scheme: light dark;
  --ink: #1f2933; --muted: #5b6875; --line: #dfe3e8; --card: #ffffff; --back: #f4f6f8; --accent: #0b7fab;
  --warn: #8a5a00; --warn-back: #fff6df; --warn-line: #f0d48a;
}
@media screen and (prefers-color-scheme: dark) {
  :root {
    --ink: #e7ebf0; --muted: #9aa7b4; --line: #2d3742; --card: #1a2129; --back: #11161c; --accent: #58bfe8;
    --warn: #f2cd7c; --warn-back: #2c2413; --warn-line: #5c4a1c;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--back); color: var(--ink); -webkit-text-size-adjust: 100%;
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Liberation Sans", sans-serif;
}
main { max-width: 1180px; margin: 0 auto; padding: 36px 24px 48px; }
header { border-left: 4px solid var(--accent); padding-left: 16px; margin-bottom: 24px; }
h1 { font-size: 28px; line-height: 1.2; margin: 0; letter-spacing: -.01em; overflow-wrap: anywhere; }
header p { margin: 6px 0 0; color: var(--muted); }
h2 { font-size: 17px; margin: 36px 0 12px; }
h2 small { font-weight: 400; font-size: 13px; color: var(--muted); margin-left: 8px; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 10px; }
.tiles { display: grid; grid-template-columns: repeat(var(--columns), minmax(0, 1fr)); gap: 12px; margin: 0; }
.tile { padding: 12px 16px; overflow-wrap: break-word; }
.tile dt { color: var(--muted); font-size: 13px; }
.tile dd { margin: 0; }
.tile .value { font-size: 25px; line-height: 1.3; font-weight: 600; font-variant-numeric: tabular-nums; }
.tile .note { color: var(--muted); font-size: 12.5px; }
.tile:first-child { border-color: var(--accent); }
.tile:first-child .value { color: var(--accent); }
.warnings {
  margin: 16px 0 0; padding: 12px 16px 12px 34px; border: 1px solid var(--warn-line); border-radius: 10px;
  background: var(--warn-back); color: var(--warn); overflow-wrap: anywhere;
}
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 440px), 1fr)); gap: 16px; }
.pair > * { min-width: 0; }
.plots { align-items: start; }
figure { margin: 0; padding: 14px; break-inside: avoid; }
figcaption { font-size: 13px; color: var(--muted); overflow-wrap: anywhere; }
.plot svg { display: block; width: 100%; max-width: 640px; height: auto; margin: 0 auto; }
.plot svg text { font-family: inherit !important; }
.classes {
  display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 300px), 1fr)); gap: 0 36px;
  padding: 10px 18px;
}
.classes.few { max-width: 640px; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; align-self: start; }
th { text-align: left; font-weight: 400; font-size: 12.5px; color: var(--muted); padding: 4px 0; }
td { border-top: 1px solid var(--line); padding: 4px 0; vertical-align: middle; }
.classes td.name { overflow-wrap: anywhere; padding-right: 10px; width: 42%; font-size: 14px; }
.classes .number { text-align: right; white-space: nowrap; width: 1%; padding-left: 12px; }
.classes td.objects { color: var(--muted); }
.bar { background: color-mix(in srgb, var(--line) 45%, transparent); border-radius: 3px; height: 12px; }
.bar span { display: block; height: 100%; border-radius: 3px; background: var(--accent); }
.gallery figure { padding: 8px; }
.gallery img { display: block; max-width: 100%; height: auto; margin: 0 auto; border-radius: 4px; background: #fff; }
.gallery figcaption { padding: 8px 4px 0; }
.gallery label { display: block; cursor: zoom-in; overflow-x: auto; }
.gallery input { position: absolute; opacity: 0; }
.gallery figure:focus-within { border-color: var(--accent); }
.gallery figure:has(:checked) { grid-column: 1 / -1; }
.gallery :checked + label { cursor: zoom-out; }
pre {
  margin: 0; padding: 12px 16px; overflow-x: auto; font: 13px/1.5 ui-monospace, "Cascadia Mono", Menlo, Consolas,
  "DejaVu Sans Mono", monospace;
}
pre.command { white-space: pre-wrap; overflow-wrap: anywhere; }
details > summary { cursor: pointer; padding: 10px 16px; color: var(--accent); }
details pre { border-top: 1px solid var(--line); max-height: 640px; overflow: auto; }
.environment { padding: 6px 18px; }
.environment td:first-child { color: var(--muted); width: 30%; padding-right: 16px; }
.environment td { overflow-wrap: anywhere; }
.environment tr:first-child td { border-top: 0; }
@media (max-width: 800px) { .tiles { grid-template-columns: repeat(3, minmax(0, 1fr)); } }
@media (max-width: 560px) {
  main { padding: 20px 12px 32px; }
  h1 { font-size: 23px; }
  .tiles { grid-template-columns: 1fr 1fr; gap: 8px; }
  .gallery :checked + label img { max-width: none; }
  .classes table + table thead { visibility: collapse; } /* hidden, its columns keep their widths */
  .tile { padding: 10px 12px; }
  .tile .value { font-size: 22px; }
  figure { padding: 8px; }
}
@media print {
  body { background: none; font-size: 11px; }
  main { max-width: none; padding: 0; }
  h2 { break-after: avoid; }
  tr, .tile { break-inside: avoid; }
  .bar, .bar span { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  details pre { max-height: none; white-space: pre-wrap; }
}
"""

_TEMPLATE = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string("""\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ run.title }}</title>
<style>{{ css | safe }}</style>
</head>
<body>
<main>
<header>
  <h1>{{ run.title }}</h1>
  {% if run.subtitle %}
  <p>{{ run.subtitle }}</p>
  {% endif %}
</header>
{% if run.figures %}
<dl class="tiles" style="--columns:{{ columns }}">
  {% for name, value, note in run.figures %}
  <div class="tile card">
    <dt>{{ name }}</dt>
    <dd class="value">{{ value }}</dd>
    {% if note %}
    <dd class="note">{{ note }}</dd>
    {% endif %}
  </div>
  {% endfor %}
</dl>
{% endif %}
{% if run.warnings %}
<ul class="warnings">
  {% for warning in run.warnings %}
  <li>{{ warning }}</li>
  {% endfor %}
</ul>
{% endif %}
{% if run.per_class.rows %}
<section>
<h2>{{ run.per_class.title }}<small>in percent</small></h2>
<div class="classes card{{ " few" if class_tables | length == 1 }}">
  {% for rows in class_tables %}
  <table>
    <thead><tr><th>class</th><th></th><th class="number">{{ run.per_class.measure }}</th>
      <th class="number">{{ run.per_class.counted }}</th></tr></thead>
    <tbody>
    {% for row in rows %}
    <tr><td class="name">{{ row.name }}</td>
      <td><div class="bar"><span style="width:{{ row.width }}%"></span></div></td>
      <td class="number">{{ row.ap }}</td><td class="number objects">{{ row.objects }}</td></tr>
    {% endfor %}
    </tbody>
  </table>
  {% endfor %}
</div>
</section>
{% endif %}
{% if run.curves %}
<section>
<h2>Curves</h2>
<div class="pair plots">
  {% for title, svg in run.curves %}
  <figure class="plot card" aria-label="{{ title }}">{{ svg | safe }}</figure>
  {% endfor %}
</div>
</section>
{% endif %}
{% if pictures %}
<section>
<h2>Pictures<small>select one to enlarge it</small></h2>
<div class="pair gallery">
  {% for caption, uri, width, height in pictures %}
  <figure class="card"><input type="checkbox" id="picture-{{ loop.index }}" aria-label="enlarge">
    <label for="picture-{{ loop.index }}">
      <img src="{{ uri }}" width="{{ width }}" height="{{ height }}" alt="{{ caption }}"></label>
    <figcaption>{{ caption }}</figcaption></figure>
  {% endfor %}
</div>
</section>
{% endif %}
{% if run.command %}
<section>
<h2>Command</h2>
<pre class="command card">{{ run.command }}</pre>
</section>
{% endif %}
{% if run.config_text %}
<section>
<h2>Config</h2>
<details class="card"><summary>{{ run.config_text.splitlines() | length }} lines</summary>
<pre>
{{ run.config_text }}</pre>
</details>
</section>
{% endif %}
{% if run.environment %}
<section>
<h2>Environment</h2>
<div class="environment card"><table>
  {% for name, value in run.environment.items() %}
  <tr><td>{{ name }}</td><td>{{ value }}</td></tr>
  {% endfor %}
</table></div>
</section>
{% endif %}
</main>
</body>
</html>
""")
