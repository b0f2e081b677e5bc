"""The chapter, or one machine of it, as a single HTML page: to be read offline, and printed.

All is inside the page, pictures included; nothing is fetched, and no browser is needed to make it. On
paper each picture has a sheet of its own, of a larger size: the tallest would be too small on A4.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from markdown_it import MarkdownIt

_PICTURE = re.compile(r'<p><a href="(\w+)\.svg"><img src="\1\.svg" alt="([^"]*)" ?/></a></p>')
_HEADING = re.compile(r"<h([12])>([^<]*)</h\1>")
_PROLOGUE = re.compile(r"<metadata>.*?</metadata>", re.DOTALL)

CSS = """
:root{color-scheme:light dark;--paper:#ffffff;--ink:#1f2328;--line:#d0d7de;--soft:#f6f8fa;--link:#0b57d0}
@media (prefers-color-scheme:dark){
:root{--paper:#0d1117;--ink:#e6edf3;--line:#30363d;--soft:#161b22;--link:#79b8ff}}
body{margin:0 auto;max-width:1200px;padding:1.5rem;background:var(--paper);color:var(--ink);
font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
a{color:var(--link)}
h1,h2,h3{line-height:1.25}
h2{margin-top:3rem;border-bottom:1px solid var(--line);padding-bottom:.3rem}
code{font:85%/1.4 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;
background:var(--soft);padding:.1em .3em}
.wide{overflow-x:auto}
table{border-collapse:collapse;margin:1rem 0;font-size:14px}
th,td{border:1px solid var(--line);padding:.3rem .6rem;text-align:left;vertical-align:top}
th{background:var(--soft)}
figure{margin:1rem 0}
figure svg{display:block;margin:0 auto;height:auto}
@page{margin:12mm}
@page picture{size:A3;margin:12mm}
@media print{
body{max-width:none;padding:0;font-size:10pt}
h2[id$=machine]{break-before:page;margin-top:0}
h2,h3{break-after:avoid}
figure{page:picture;break-inside:avoid;margin:0}
figure svg{max-width:100% !important;max-height:385mm}
.wide{overflow:visible}
table{font-size:7pt}
tr{break-inside:avoid}
thead{display:table-header-group}
code{overflow-wrap:break-word;background:none;padding:0}
a{color:inherit;text-decoration:none}}
"""


def html(title: str, markdown: str, pictures: Mapping[str, str]) -> str:
    """A page of its own, ending in a newline.

    Args:
        title: of the window.
        markdown: what stands on it; our own, so it may hold HTML.
        pictures: SVG by name; they are put where the text shows a picture of that name.

    Raises:
        KeyError: the text shows a picture that is not among them.
    """
    body = MarkdownIt("commonmark").enable("table").render(markdown)
    body = _HEADING.sub(_with_anchor, body)
    body = body.replace("<table>", '<div class="wide"><table>').replace(
        "</table>", "</table></div>"
    )
    body = _PICTURE.sub(lambda found: _figure(pictures[found[1]], found[2]), body)
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{title}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>{CSS}</style>\n</head>\n<body>\n{body}</body>\n</html>\n"
    )


def _with_anchor(heading: re.Match[str]) -> str:
    level, text = heading[1], heading[2]
    return f'<h{level} id="{re.sub(r"[^a-z0-9]+", "-", text.lower())}">{text}</h{level}>'


def _figure(svg: str, what: str) -> str:
    drawing = _PROLOGUE.sub("", svg).strip()
    return f'<figure role="img" aria-label="{what}">{drawing}</figure>'
