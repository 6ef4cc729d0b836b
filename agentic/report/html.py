"""The few pieces of HTML that the page is made of; every text is escaped here."""

import base64
from collections.abc import Sequence
from html import escape
from importlib.resources import files


def paragraph(text: str, kind: str = "") -> str:
    """Return a paragraph; `kind` is a class of page.css, such as "note" or "lead"."""
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def heading(text: str, level: int = 2) -> str:
    """Return a heading of the level."""
    return f"<h{level}>{escape(text)}</h{level}>"


def bullets(texts: Sequence[str]) -> str:
    """Return a bulleted list."""
    return "<ul>" + "".join(f"<li>{escape(text)}</li>" for text in texts) + "</ul>"


def code(text: str) -> str:
    """Return a command in a paragraph of its own."""
    return f"<p><code>{escape(text)}</code></p>"


def wide_table(
    caption: str, header: Sequence[str], rows: Sequence[Sequence[tuple[str, str]]]
) -> str:
    """Return a table of (value, remark) cells that turns into cards on a narrow screen."""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in header)
    body = ""
    for first, *rest in rows:
        cells = f'<th scope="row">{_cell(first, "span")}</th>'
        for name, cell in zip(header[1:], rest, strict=True):
            cells += f'<td data-label="{escape(name)}">{_cell(cell, "b")}</td>'
        body += f"<tr>{cells}</tr>\n"
    return (
        f'<table class="wide"><caption>{escape(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table>"
    )


def settings_table(pairs: Sequence[tuple[str, str]]) -> str:
    """Return a table of names and values."""
    body = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{escape(value)}</td></tr>\n'
        for name, value in pairs
    )
    return f'<table class="settings"><tbody>{body}</tbody></table>'


def details(summary: str, content: str, is_open: bool) -> str:
    """Return a part of the page that folds away."""
    mark = " open" if is_open else ""
    return f"<details{mark}><summary>{escape(summary)}</summary>{content}</details>"


def picture(light: bytes, dark: bytes, alternative: str, caption: str) -> str:
    """Return a figure that shows the PNG for the reader's colour scheme."""
    sources = [
        f"data:image/png;base64,{base64.b64encode(image).decode()}" for image in (light, dark)
    ]
    return (
        f'<figure><picture><source media="(prefers-color-scheme: dark)" srcset="{sources[1]}">'
        f'<img src="{sources[0]}" alt="{escape(alternative)}"></picture>'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def video(content: bytes, caption: str) -> str:
    """Return a figure that plays an mp4, which is part of the page."""
    source = f"data:video/mp4;base64,{base64.b64encode(content).decode()}"
    return (
        f'<figure class="video"><video controls muted loop playsinline preload="metadata" '
        f'src="{source}" aria-label="{escape(caption)}"></video>'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def side_by_side(parts: Sequence[str]) -> str:
    """Return figures beside each other where the screen is wide enough."""
    return f'<div class="row">{"".join(parts)}</div>'


def page(title: str, body: Sequence[str]) -> str:
    """Return the whole document: no script, and nothing that is loaded from elsewhere."""
    style = files("agentic.report").joinpath("page.css").read_text(encoding="utf-8")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{style}</style></head>\n<body>\n"
        + "\n".join(body)
        + "\n</body></html>\n"
    )


def _cell(cell: tuple[str, str], tag: str) -> str:
    value, remark = cell
    return f"<{tag}>{escape(value)}</{tag}>" + (
        f"<small>{escape(remark)}</small>" if remark else ""
    )
