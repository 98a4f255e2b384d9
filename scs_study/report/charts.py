"""matplotlib's figures as SVG that stands in a page: ids of its own, a name for readers who hear it, text as text."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from xml.etree import ElementTree

from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.artist import Artist
from matplotlib.figure import Figure

from scs_study.analysis.plots.style import broken

SVG, XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
WIDTH = 4.3
"""Inches: on a phone of 390 pixels letters of 9 points are still letters."""
_NUMBER = re.compile(r"-?\d+\.\d+")
_REFERENCE = re.compile(r"url\(#([^)]+)\)")


def inline_svg(figure: Figure, name: str, label: str, titles: Mapping[str, str] | None = None) -> Markup:
    """Return the figure as an <svg> element. name: unique on the page; label: what it shows, in words.

    titles: what a browser shows at the pointer over the artist of that gid. The same figure gives the same bytes.
    """
    drawn = io.BytesIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(drawn, format="svg", metadata={"Date": None, "Creator": None})
    root = ElementTree.fromstring(drawn.getvalue())
    for child in list(root):
        if child.tag == f"{{{SVG}}}metadata":
            root.remove(child)
    for key in ("width", "height", "version"):
        root.attrib.pop(key, None)
    root.set("role", "img")
    root.set("aria-label", label)
    for element in list(root.iter()):
        if "d" in element.attrib:  # a hundredth of a point is enough, and half the bytes
            element.set(
                "d", _NUMBER.sub(lambda match: f"{float(match[0]):.2f}".rstrip("0").rstrip("."), element.attrib["d"])
            )
        gid = element.get("id")
        if gid in (titles or {}):
            title = ElementTree.Element(f"{{{SVG}}}title")
            title.text = (titles or {})[str(gid)]
            element.insert(0, title)
    _own_ids(root, name)
    ElementTree.register_namespace("", SVG)
    ElementTree.register_namespace("xlink", XLINK)
    return Markup(ElementTree.tostring(root, encoding="unicode"))  # built from a tree, so every word is escaped


def legend_room(labels: Sequence[str]) -> tuple[float, int]:
    """Return what a legend below a chart needs: its height in inches, and its columns: two where no label is broken."""
    lines = [1 + broken(words).count("\n") for words in labels]
    columns = 1 if max(lines) > 1 else 2
    return 0.17 * -(-sum(lines) // columns), columns


def draw_legend(figure: Figure, handles: Sequence[Artist], columns: int) -> None:
    """Write the legend below the chart, for which `legend_room` left room."""
    figure.legend(handles=handles, loc="outside lower left", ncols=columns, fontsize=8, handlelength=2.6)


def _own_ids(root: ElementTree.Element, name: str) -> None:
    """Give ids that something refers to the figure's name, and take the others away: a page has many figures."""
    used = set()
    for element in root.iter():
        for key, value in element.attrib.items():
            used |= set(_REFERENCE.findall(value))
            if key == f"{{{XLINK}}}href":
                used.add(value.removeprefix("#"))
    for element in root.iter():
        own = element.attrib.pop("id", None)
        if own in used:
            element.set("id", f"{name}-{own}")
        for key, value in element.attrib.items():
            if key == f"{{{XLINK}}}href":
                element.set(key, f"#{name}-{value.removeprefix('#')}")
            elif "url(#" in value:
                element.set(key, _REFERENCE.sub(rf"url(#{name}-\1)", value))
