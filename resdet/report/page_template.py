"""The style sheet and the HTML template of a run's page (report/page.py)."""

from __future__ import annotations

import jinja2

CSS = """
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
{% if run.warnings %}
<ul class="warnings">
  {% for warning in run.warnings %}
  <li>{{ warning }}</li>
  {% endfor %}
</ul>
{% endif %}
{% call section(run.per_class.title, run.per_class.rows, "in percent") %}
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
{% endcall %}
{% call section("Curves", run.curves) %}
<div class="pair plots">
  {% for title, svg in run.curves %}
  <figure class="plot card" aria-label="{{ title }}">{{ svg | safe }}</figure>
  {% endfor %}
</div>
{% endcall %}
{% call section("Pictures", pictures, "select one to enlarge it") %}
<div class="pair gallery">
  {% for caption, uri, width, height in pictures %}
  <figure class="card"><input type="checkbox" id="picture-{{ loop.index }}" aria-label="enlarge">
    <label for="picture-{{ loop.index }}">
      <img src="{{ uri }}" width="{{ width }}" height="{{ height }}" alt="{{ caption }}"></label>
    <figcaption>{{ caption }}</figcaption></figure>
  {% endfor %}
</div>
{% endcall %}
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
