"""An HTML page of sections: one file that needs no network."""

import base64
import gzip
import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template

from lightsweep.files import write_atomically
from lightsweep.report.plotly_figure import Drawing, note_html
from lightsweep.report.snapshot import NothingToShowError


@dataclass(frozen=True, kw_only=True)
class Section:
    """A part of a page. `body` is HTML. A group has other sections in its body, and no frame of its own."""

    anchor: str
    heading: str
    body: str
    is_group: bool = False

    @classmethod
    def of(cls, anchor: str, heading: str, *, build: Callable[[], str | Drawing]) -> "Section":
        """Build the body; if there is nothing to show, it is the reason."""
        try:
            built = build()
            body = built if isinstance(built, str) else built.html()
        except NothingToShowError as reason:
            body = note_html(str(reason))
        return cls(anchor=anchor, heading=heading, body=body)

    @classmethod
    def group(cls, anchor: str, heading: str, sections: Iterable["Section"]) -> "Section":
        body = "\n".join(section.html(level=3) for section in sections)
        return cls(anchor=anchor, heading=heading, body=body, is_group=True)

    def html(self, *, level: int = 2) -> str:
        kind = "group" if self.is_group else "card"
        heading = f"<h{level}>{escape(self.heading)}</h{level}>"
        return f'<section class="{kind}" id="{self.anchor}">\n{heading}\n{self.body}\n</section>'


def write_page(
    path: Path,
    *,
    title: str,
    heading: str,
    lead: str,
    sections: Sequence[Section],
    seconds_to_reload: int | None = None,
) -> None:
    """Write a page that needs no network. `lead` is HTML, as the bodies of the sections are.

    Names, values and reasons of a study are untrusted input and never become markup or code: they are escaped, and the
    page's policy runs its own scripts only. With `seconds_to_reload` an open page follows the file.
    """
    page = Template(_file("page.html")).substitute(
        nonce=secrets.token_urlsafe(16),
        title=escape(title),
        heading=escape(heading),
        lead=lead,
        links="".join(f'<a href="#{section.anchor}">{escape(section.heading)}</a>' for section in sections),
        sections="\n".join(section.html() for section in sections),
        seconds_to_reload=seconds_to_reload or "",
        css=_file("page.css"),
        js=_file("page.js"),
        plotly_js=_compressed_plotly(),
    )
    write_atomically(path, page, durable=seconds_to_reload is None)


@cache
def _compressed_plotly() -> str:
    """Return plotly.js as base64 of gzip: 2.0 MB in place of 4.8, which page.js expands."""
    from plotly.offline import get_plotlyjs

    return base64.b64encode(gzip.compress(get_plotlyjs().encode(), compresslevel=6, mtime=0)).decode()


@cache
def _file(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")
