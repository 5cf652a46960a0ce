"""Pieces of HTML. Texts are escaped; parameters that are HTML already are called so."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape


def table(rows: Iterable[Sequence[str]], *, head: Sequence[str] = (), kind: str) -> str:
    """Return a table of cells that are HTML, the first of each row a header of the row."""
    top = "".join(f'<th scope="col">{escape(text)}</th>' for text in head)
    body = "".join(
        f'<tr><th scope="row">{first}</th>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>'
        for first, *cells in rows
    )
    thead = f"<thead><tr>{top}</tr></thead>" if head else ""
    return f'<div class="scroll"><table class="{kind}">{thead}<tbody>{body}</tbody></table></div>'


def code(text: str) -> str:
    return f"<code>{escape(text)}</code>"


def tiles(texts: Mapping[str, str]) -> str:
    """Return labels, each with its value below; long values take the whole width."""
    entries = "".join(
        f'<div class="{"wide" if len(text) > 36 else ""}"><dt>{escape(label)}</dt><dd>{escape(text)}</dd></div>'
        for label, text in texts.items()
    )
    return f'<dl class="tiles">{entries}</dl>'
