"""A report as one HTML file that needs nothing beside it: its plots stand inside as SVG, there are no scripts, and it prints well."""

from __future__ import annotations

import re
from html import escape
from pathlib import Path

from engine.printable import clean

STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1b1b1b; background: #fff; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2rem; border-bottom: 1px solid #767676; }
table { border-collapse: collapse; display: block; overflow-x: auto; font-size: .85rem; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .6rem; border-bottom: 1px solid #ccc; text-align: left; } th { border-bottom: 2px solid #767676; }
figure { margin: 1rem 0; } svg { max-width: 100%; height: auto; background: #fff; }
code { font-family: ui-monospace, monospace; }
@media (prefers-color-scheme: dark) { body { color: #e8e8e8; background: #161616; } }
@media print {
  body { max-width: none; margin: 0; font-size: 10pt; color: #000; background: #fff; }
  table { display: table; font-size: 7.5pt; } h2, tr, figure { break-inside: avoid; }
}
""".strip()
_IMAGE = re.compile(r'<p><img src="([^"/\\]+)\.(?:png|svg)" alt="([^"]*)"\s*/?></p>|<img src="([^"/\\]+)\.(?:png|svg)" alt="([^"]*)"\s*/?>')


def page(markdown: str, title: str, folder: Path) -> str:
    """The report's Markdown as HTML. folder: where its plots' SVG files lie, which are put inside; one that is missing leaves its words.

    HTML in the Markdown stays text.
    """
    from markdown_it import MarkdownIt

    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(markdown)
    body = _IMAGE.sub(lambda match: _figure(folder, match[1] or match[3], match[2] or match[4] or ""), body)
    meta = '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    head = f"{meta}<title>{escape(clean(title))}</title><style>{STYLE}</style>"
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}</body></html>\n'


def _figure(folder: Path, name: str, words: str) -> str:
    path = folder / f"{name}.svg"
    if not path.is_file():
        return f"<p>{words}</p>"
    drawn = path.read_text(encoding="utf-8")
    drawn = drawn[drawn.index("<svg") :]
    # ids of several drawings in one page must differ, or one's clip paths and markers would be taken for another's
    drawn = re.sub(r'(\bid="|url\(#|href="#)', lambda match: f"{match[1]}{name}-", drawn)
    return f"<figure>{drawn}<figcaption>{words}</figcaption></figure>"
