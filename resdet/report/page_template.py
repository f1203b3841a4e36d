"""The style sheet and the HTML template of a run's page (report/page.py)."""

from __future__ import annotations

import jinja2

CSS = """
:root {
  color-scheme: light dark;
  --ink: #1f2933; --muted: #5b6875; --line: #dfe3e8; --card: #ffffff; --back: #f4f6f8; --accent: #0b7fab;
  --bad: #d9480f;
}
@media screen and (prefers-color-scheme: dark) {
  :root {
    --ink: #e7ebf0; --muted: #9aa7b4; --line: #2d3742; --card: #1a2129; --back: #11161c; --accent: #58bfe8;
    --bad: #f58b5c;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--back); color: var(--ink); -webkit-text-size-adjust: 100%;
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Liberation Sans", sans-serif;
}
main { max-width: 1180px; margin: 0 auto; padding: 36px 24px 48px; }
header { border-left: 4px solid var(--accent); padding-left: 16px; margin-bottom: 24px; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
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
.pair {
  display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 440px), 1fr)); gap: 16px; align-items: start;
}
.pair > * { min-width: 0; }
figure { margin: 0; padding: 14px; break-inside: avoid; }
figcaption { font-size: 13px; color: var(--muted); overflow-wrap: anywhere; }
.plot figcaption { font-size: 14px; color: var(--ink); padding: 0 2px 8px; }
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
thead td { border-top: 0; }
.classes td.name { overflow-wrap: anywhere; padding-right: 10px; width: 42%; font-size: 14px; }
.classes .number { text-align: right; white-space: nowrap; width: 1%; padding-left: 12px; }
.classes td.objects { color: var(--muted); }
.bar { background: color-mix(in srgb, var(--line) 45%, transparent); border-radius: 3px; height: 12px; }
.bar span { display: block; height: 100%; border-radius: 3px; }
.scroll { /* a shadow at the right edge while there is more to see */
  overflow-x: auto; padding: 10px 18px 10px 0; width: fit-content; max-width: 100%;
  background: linear-gradient(to left, var(--card) 50%, transparent) right / 40px 100% no-repeat local,
    linear-gradient(to left, color-mix(in srgb, var(--ink) 30%, transparent), transparent) right / 16px 100% no-repeat
    scroll, var(--card);
}
.scroll table { width: auto; }
.scroll th, .scroll td { padding: 4px 0 4px 20px; text-align: right; white-space: nowrap; }
.scroll th.word, .scroll td.word { text-align: left; white-space: normal; overflow-wrap: anywhere; min-width: 7em; }
.scroll th:first-child, .scroll td:first-child {
  position: sticky; left: 0; padding-left: 18px; background: var(--card);
}
.matrix th, .matrix td { padding: 3px 5px; text-align: center; }
.matrix td { min-width: 40px; border: 1px solid var(--line); }
.matrix td.right { background: color-mix(in srgb, var(--accent) calc(var(--share) * .5%), transparent); }
.matrix td.wrong { background: color-mix(in srgb, var(--bad) calc(var(--share) * .5%), transparent); }
.matrix tbody th { text-align: right; white-space: normal; color: var(--ink); }
.matrix tbody th div { width: max-content; max-width: 11em; margin-left: auto; overflow-wrap: anywhere; }
.matrix thead th { vertical-align: bottom; }
.matrix thead span {
  writing-mode: vertical-rl; transform: rotate(180deg); max-height: 11em; overflow: hidden; text-overflow: ellipsis;
}
.gallery.small { grid-template-columns: repeat(auto-fill, minmax(min(46%, 170px), 1fr)); gap: 12px; }
.gallery.small img { width: 100%; }
.gallery figure { padding: 8px; position: relative; }
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
  .matrix td { min-width: 34px; }
  .matrix tbody th div { max-width: 7em; }
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

TEMPLATE = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string("""\
{% macro section(title, shown, note="") %}
{% if shown %}
<section>
<h2>{{ title }}{% if note %}<small>{{ note }}</small>{% endif %}</h2>
{{ caller() }}</section>
{% endif %}
{% endmacro %}
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
{% for table, parts in bars %}
{% call section(table.title, table.rows, table.note) %}
<div class="classes card{{ " few" if parts | length == 1 }}">
  {% for rows in parts %}
  <table>
    <thead><tr><th>{{ table.named }}</th><td></td><th class="number">{{ table.measure }}</th>
      <th class="number">{{ table.counted }}</th></tr></thead>
    <tbody>
    {% for row in rows %}
    <tr><td class="name">{{ row.name }}</td>
      <td><div class="bar"><span style="width:{{ row.width }}%; background:{{ row.colour }}"></span></div></td>
      <td class="number">{{ row.share }}</td><td class="number objects">{{ row.count }}</td></tr>
    {% endfor %}
    </tbody>
  </table>
  {% endfor %}
</div>
{% endcall %}
{% endfor %}
{% for table in tables %}
{% call section(table.title, table.rows, table.note) %}
<div class="scroll card" tabindex="0" role="region" aria-label="{{ table.title }}"><table>
  <thead><tr>{% for name in table.columns %}
<th{{ ' class="word"' | safe if loop.index <= table.words }}>{{ name }}</th>{% endfor %}</tr></thead>
  <tbody>
  {% for row in table.rows %}
  <tr>{% for cell in row %}
<td{{ ' class="word"' | safe if loop.index <= table.words }}>{{ cell }}</td>{% endfor %}</tr>
  {% endfor %}
  </tbody>
</table></div>
{% endcall %}
{% endfor %}
{% call section("Confusion matrix", matrix, run.confusion.note if run.confusion) %}
<div class="scroll card" tabindex="0" role="region" aria-label="confusion matrix"><table class="matrix">
  <thead><tr><th>true class</th>{% for name, _ in matrix %}
<th scope="col" title="{{ name }}"><span>{{ name }}</span></th>{% endfor %}</tr></thead>
  <tbody>
  {% for name, cells in matrix %}
  <tr><th scope="row"><div>{{ name }}</div></th>{% for cell in cells %}
<td class="{{ cell.kind }}" style="--share:{{ cell.share }}">{{ cell.count }}</td>{% endfor %}</tr>
  {% endfor %}
  </tbody>
</table></div>
{% endcall %}
{% call section("Curves", curves) %}
<div class="pair">
  {% for title, svg in curves %}
  <figure class="plot card"><figcaption>{{ title }}</figcaption>{{ svg | safe }}</figure>
  {% endfor %}
</div>
{% endcall %}
{% for gallery, pictures in galleries %}
{% set number = loop.index %}
{% call section(gallery.title, pictures, gallery.note ~ ("; " if gallery.note) ~ "select a picture to enlarge it") %}
<div class="pair gallery{{ " small" if gallery.small }}">
  {% for caption, uri, width, height in pictures %}
  <figure class="card">
    <input type="checkbox" id="picture-{{ number }}-{{ loop.index }}" aria-label="enlarge {{ caption }}">
    <label for="picture-{{ number }}-{{ loop.index }}">
      <img src="{{ uri }}" width="{{ width }}" height="{{ height }}" alt="{{ caption }}"></label>
    <figcaption>{{ caption }}</figcaption></figure>
  {% endfor %}
</div>
{% endcall %}
{% endfor %}
{% call section("Command", run.command) %}
<pre class="command card">{{ run.command }}</pre>
{% endcall %}
{% call section("Config", run.config_text) %}
<details class="card"><summary>{{ run.config_text.splitlines() | length }} lines</summary>
<pre>
{{ run.config_text }}</pre>
</details>
{% endcall %}
{% call section("Environment", run.environment) %}
<div class="environment card"><table>
  {% for name, value in run.environment.items() %}
  <tr><td>{{ name }}</td><td>{{ value }}</td></tr>
  {% endfor %}
</table></div>
{% endcall %}
</main>
</body>
</html>
""")
