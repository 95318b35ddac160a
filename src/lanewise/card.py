"""What a notebook shows for a model or an evaluation: a small card of HTML, complete in itself, in light and in dark.

All text comes from files and users: it is escaped.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lanewise.escaping import escaped

if TYPE_CHECKING:
    from lanewise.model_file import Contents

MOST_CLASSES = 12
MOST_NETWORK = 300

STYLE = """
.lanewise-card { --ink: #1c2430; --muted: #667080; --line: #d9dee6; --back: #fbfcfe; --accent: #1667c7; --soft: #dbe9fa;
  color-scheme: light dark; color: var(--ink); background: var(--back); border: 1px solid var(--line);
  border-radius: 10px; padding: 14px 18px; max-width: 660px; box-sizing: border-box; line-height: 1.45;
  font: 13px/1.45 system-ui, -apple-system, "Segoe UI", sans-serif; }
@media (prefers-color-scheme: dark) { .lanewise-card { --ink: #e4e8ee; --muted: #98a3b3; --line: #3a4351;
  --back: #1b2028; --accent: #6cb2ff; --soft: #23395a; } }
[data-jp-theme-light="true"] .lanewise-card, .vscode-light .lanewise-card { --ink: #1c2430; --muted: #667080;
  --line: #d9dee6; --back: #fbfcfe; --accent: #1667c7; --soft: #dbe9fa; }
[data-jp-theme-light="false"] .lanewise-card, .vscode-dark .lanewise-card { --ink: #e4e8ee; --muted: #98a3b3;
  --line: #3a4351; --back: #1b2028; --accent: #6cb2ff; --soft: #23395a; }
.lanewise-card .head { display: flex; justify-content: space-between; align-items: baseline; gap: 16px;
  flex-wrap: wrap; }
.lanewise-card .name { font-weight: 650; font-size: 15px; }
.lanewise-card .muted { color: var(--muted); }
.lanewise-card .figure { font-size: 22px; font-weight: 650; color: var(--accent); font-variant-numeric: tabular-nums; }
.lanewise-card code { display: block; background: none; color: var(--ink); margin: 8px 0; padding: 0;
  white-space: normal; overflow-wrap: anywhere;
  font: 12px/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
.lanewise-card .chips { display: flex; flex-wrap: wrap; gap: 4px 6px; margin: 8px 0 2px; }
.lanewise-card .chip { background: var(--soft); border-radius: 999px; padding: 1px 9px; overflow-wrap: anywhere;
  font-size: 12px; }
.lanewise-card svg { display: block; width: 100%; height: auto; margin-top: 10px; }
.lanewise-card svg text { fill: var(--muted); font-size: 10.5px; font-family: inherit; }
.lanewise-card table { border-collapse: collapse; margin: 10px 0 0; font-size: 12px; color: var(--ink); }
.lanewise-card th, .lanewise-card td { border: none; padding: 3px 8px; text-align: right; background: none;
  font-variant-numeric: tabular-nums; color: var(--ink); }
.lanewise-card th { color: var(--muted); font-weight: 500; max-width: 14em; overflow-wrap: anywhere; }
.lanewise-card .scroll { overflow-x: auto; }
"""


def model_card(model: Contents) -> str:
    """Network, size of images, classes, accuracy with its interval, and learning curves."""
    rows, columns, channels = model.preprocessing.shape
    colours = {1: "grey", 3: "colour"}.get(channels, f"{channels} channels")
    network = model.network or f"{len(model.graph.nodes)} nodes, from elsewhere"
    if len(network) > MOST_NETWORK:
        network = f"{network[:MOST_NETWORK]} ..."
    facts = f"{rows}&times;{columns} {colours} &middot; {len(model.classes)} classes"
    weights = f"{model.graph.parameter_count:,} weights and biases"
    figure, kind = _accuracy(model)
    chips = "".join(f'<span class="chip">{_safe(label)}</span>' for label in model.classes[:MOST_CLASSES])
    if len(model.classes) > MOST_CLASSES:
        chips += f'<span class="muted">and {len(model.classes) - MOST_CLASSES:,} more</span>'
    left = f'<div><div class="name">Lanewise model</div><div class="muted">{facts} &middot; {weights}</div></div>'
    right = f'<div style="text-align: right"><div class="figure">{figure}</div><div class="muted">{kind}</div></div>'
    head = f'<div class="head">{left}{right if figure else ""}</div>'
    return _card(f'{head}<code>{_safe(network)}</code>{_curves(model.history)}<div class="chips">{chips}</div>')


def evaluation_card(found: Any) -> str:
    """The accuracy of an `Evaluation` with its interval, and the confusion matrix of up to a dozen classes."""
    low, high = found.interval
    kind = "cross-validated" if found.split == "folds" else _safe(found.split)
    images = f"{kind} images: {found.count:,}"
    name = f'<div><div class="name">Evaluation</div><div class="muted">{images}</div></div>'
    figure = (
        f'<div style="text-align: right"><div class="figure">{_percent(found.accuracy)}</div>'
        f'<div class="muted">95 % interval {_percent(low)} to {_percent(high)}</div></div>'
    )
    return _card(f'<div class="head">{name}{figure}</div>{_confusion(found)}')


def _card(inside: str) -> str:
    return f'<div class="lanewise-card"><style>{STYLE}</style>{inside}</div>'


def _safe(text: object) -> str:
    return html.escape(escaped(str(text)))


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def reported(provenance: Mapping[str, Any]) -> Any:
    """The accuracy recorded with a model: on its evaluation set, or by cross-validation; None without
    any."""
    folds = provenance.get("cross_validation")
    return provenance.get("evaluated") or ({**folds, "split": "folds"} if isinstance(folds, Mapping) else None)


def _accuracy(model: Contents) -> tuple[str, str]:
    """The best accuracy that there is, and its name."""
    evaluated = reported(model.provenance)
    if isinstance(evaluated, Mapping):
        share, interval, split = (evaluated.get(key) for key in ("accuracy", "interval", "split"))
        if isinstance(share, int | float) and isinstance(interval, list | tuple) and len(interval) == 2:
            low, high = map(float, interval)
            kind = "cross-validation" if split == "folds" else _safe(split)
            return _percent(share), f"{kind} accuracy, 95 % interval {_percent(low)} to {_percent(high)}"
    best = model.provenance.get("best_epoch")
    for key, kind in (("validation_accuracy", "validation accuracy"), ("accuracy", "training accuracy")):
        records = [one for one in model.history if isinstance(one.get(key), int | float)]
        if records:
            record = next((one for one in records if one.get("epoch") == best), records[-1])
            return _percent(record[key]), f"{kind} in epoch {_safe(record.get('epoch'))}"
    return "", ""


def _curves(history: Sequence[Mapping[str, Any]]) -> str:
    """Loss and accuracy of each epoch, two small plots side by side."""
    if len(history) < 2:
        return ""
    plots = [_plot(history, "loss", "loss", 0), _plot(history, "accuracy", "accuracy", 320)]
    return f'<svg viewBox="0 0 620 132" role="img" aria-label="learning curves">{"".join(plots)}</svg>'


def _plot(history: Sequence[Mapping[str, Any]], key: str, name: str, left: int) -> str:
    lines = []
    for kind, colour, dash in ((key, "var(--muted)", "4 3"), (f"validation_{key}", "var(--accent)", "")):
        points = [(float(one.get("epoch", n)), float(one[kind])) for n, one in enumerate(history) if _number(one, kind)]
        lines.append((points, colour, dash))
    values = [value for points, _, _ in lines for _, value in points]
    epochs = [epoch for points, _, _ in lines for epoch, _ in points]
    if not values:
        return ""
    low, high = (0.0 if key == "loss" else min(values)), max(values)
    high = high if high > low else low + 1.0
    x0, x1, y0, y1 = left + 42, left + 292, 108, 22

    def place(epoch: float, value: float) -> str:
        along = (epoch - min(epochs)) / max(1.0, max(epochs) - min(epochs))
        return f"{x0 + along * (x1 - x0):.1f},{y0 + (value - low) / (high - low) * (y1 - y0):.1f}"

    def said(value: float) -> str:
        return f"{100 * value:.0f} %" if key == "accuracy" else f"{value:.2g}"

    drawn = "".join(
        f'<polyline points="{" ".join(place(*point) for point in points)}" fill="none" stroke="{colour}" '
        f'stroke-width="1.8" stroke-linejoin="round" stroke-dasharray="{dash or "none"}"/>'
        for points, colour, dash in lines
        if len(points) > 1
    )
    grid = "".join(
        f'<line x1="{x0}" x2="{x1}" y1="{y}" y2="{y}" stroke="var(--line)"/>'
        f'<text x="{x0 - 6}" y="{y + 3.5}" text-anchor="end">{said(value)}</text>'
        for y, value in ((y0, low), (y1, high))
    )
    held = '<tspan fill="var(--accent)"> — validation</tspan>' if len(lines[1][0]) > 1 else ""
    title = f'<text x="{x0}" y="12">{name}<tspan> - - training</tspan>{held}</text>'
    first, last = (
        f'<text x="{x}" y="123" text-anchor="{anchor}">{text}</text>'
        for x, anchor, text in (
            (x0, "start", f"epoch {min(epochs):.0f}"),
            (x1, "end", f"{max(epochs):.0f}"),
        )
    )
    return title + grid + drawn + first + last


def _number(record: Mapping[str, Any], key: str) -> bool:
    value = record.get(key)
    return isinstance(value, int | float) and abs(value) < 1e30


def _confusion(found: Any) -> str:
    if len(found.classes) > MOST_CLASSES:
        rows = [(f"{_safe(true)} taken for {_safe(taken)}", count) for true, taken, count in found.confusions()[:8]]
        lines = "".join(f"<tr><th>{what}</th><td>{count:,}</td></tr>" for what, count in rows)
        return f"<table>{lines}</table>"
    heads = "".join(f"<th>{_safe(label)}</th>" for label in found.classes)
    body = ""
    for n, label in enumerate(found.classes):
        total = max(1, int(found.confusion[n].sum()))
        cells = ""
        for k, count in enumerate(found.confusion[n].tolist()):
            share = round(100 * count / total)
            shade = f"background: color-mix(in srgb, var(--accent) {min(70, share)}%, transparent)" if count else ""
            weight = "; font-weight: 650" if k == n else ""
            cells += f'<td style="{shade}{weight}">{f"{count:,}" if count else "&middot;"}</td>'
        body += f"<tr><th>{_safe(label)}</th>{cells}</tr>"
    caption = '<div class="muted" style="margin-top: 8px">Rows: true class. Columns: predicted class.</div>'
    return f'<div class="scroll"><table><tr><th></th>{heads}</tr>{body}</table></div>{caption}'
