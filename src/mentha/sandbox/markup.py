"""Markdown to HTML and back, for templates and expressions. Imported by the worker only."""

import re
from html.parser import HTMLParser

from markdown_it import MarkdownIt

_MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])

_BLOCKS = frozenset(
    {"article", "aside", "blockquote", "dd", "div", "dl", "dt", "figure", "footer", "form", "header", "main", "nav", "p", "pre", "section"}
    | {"address", "fieldset", "ol", "table", "ul"}
)
_HIDDEN = frozenset({"head", "script", "style", "template", "title"})
_MARKS = {"b": "**", "strong": "**", "i": "*", "em": "*", "del": "~~", "s": "~~", "code": "`"}
_SPACE = re.compile(r"[ \t\f]+")
_LINES = re.compile(r"\s*\n\s*")
# What would begin emphasis where only text is meant.
_EMPHASIS = re.compile(r"([*_])")
_MANY_LINES = re.compile(r"\n{3,}")
_HEADING = re.compile(r"h[1-6]")


def markdown_to_html(text: str) -> str:
    """CommonMark with tables and ~~strikethrough~~ as HTML. HTML in the text stays what it is."""
    return _MARKDOWN.render(text)


def html_to_markdown(text: str) -> str:
    """The text of an HTML page with its headings, lists, links, images, emphasis, code, quotes and tables as Markdown."""
    reader = _Reader()
    reader.feed(text)
    reader.close()
    return reader.markdown()


class _Reader(HTMLParser):
    """One pass without a tree, so that depth costs nothing."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._out: list[str] = []
        self._hidden = 0
        self._pre = 0
        self._quote = 0
        self._lists: list[int | None] = []
        self._links: list[str] = []
        self._cells = 0
        self._rows = 0

    def markdown(self) -> str:
        """What was read so far."""
        return _MANY_LINES.sub("\n\n", "".join(self._out)).strip()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Begin an element."""
        given = dict(attrs)
        if tag in _HIDDEN:
            self._hidden += 1
        elif _HEADING.fullmatch(tag):
            self._write("\n\n" + "#" * int(tag[1]) + " ")
        elif tag == "a":
            self._links.append(given.get("href") or "")
            self._write("[")
        elif tag == "img":
            self._write(f"![{given.get('alt') or ''}]({given.get('src') or ''})")
        else:
            self._begin(tag)

    def _begin(self, tag: str) -> None:
        match tag:
            case "br" | "hr":
                self._break("\n" if tag == "br" else "\n\n---\n\n")
            case "ul" | "ol":
                self._break("\n" if self._lists else "\n\n")
                self._lists.append(None if tag == "ul" else 0)
            case "li":
                self._item()
            case "pre":
                self._write("\n\n```\n")
                self._pre += 1
            case "td" | "th" | "tr" | "table":
                self._cell(tag)
            case _ if tag in _MARKS and not self._pre:
                self._write(_MARKS[tag])
            case _ if tag in _BLOCKS:
                self._quote += tag == "blockquote"
                self._break("\n\n")
            case _:
                pass

    def _cell(self, tag: str) -> None:
        if tag == "table":
            self._rows = 0
            self._break("\n\n")
        elif tag == "tr":
            self._cells = 0
            self._write("\n")
        else:
            self._cells += 1
            self._write("| " if self._cells == 1 else " | ")

    def handle_endtag(self, tag: str) -> None:
        """End an element."""
        match tag:
            case _ if tag in _HIDDEN:
                self._hidden = max(0, self._hidden - 1)
            case "a":
                self._write(f"]({self._links.pop()})" if self._links else "")
            case "pre":
                self._pre = max(0, self._pre - 1)
                self._write("\n```\n\n")
            case "blockquote":
                self._quote = max(0, self._quote - 1)
                self._break("\n\n")
            case "ul" | "ol":
                self._lists = self._lists[:-1]
                self._break("\n" if self._lists else "\n\n")
            case "tr":
                self._row()
            case _ if tag in _MARKS and not self._pre:
                self._write(_MARKS[tag])
            case _ if tag in _BLOCKS or _HEADING.fullmatch(tag):
                self._break("\n\n")
            case _:
                pass

    def handle_data(self, data: str) -> None:
        """Text between tags."""
        if self._pre:
            self._write(data)
            return
        text = _EMPHASIS.sub(r"\\\1", _LINES.sub("\n", _SPACE.sub(" ", data)))
        if not self._out or self._out[-1].endswith(("\n", " ")):
            text = text.lstrip()
        self._write(text)

    def _item(self) -> None:
        number = self._lists[-1] if self._lists else None
        mark = "- "
        if number is not None:
            self._lists[-1] = number + 1
            mark = f"{number + 1}. "
        self._break("\n" + "  " * (min(len(self._lists), 20) - 1))
        self._write(mark)

    def _row(self) -> None:
        if self._cells:
            self._write(" |")
            self._rows += 1
            if self._rows == 1:
                self._write("\n" + "| --- " * self._cells + "|")

    def _break(self, lines: str) -> None:
        if self._quote and lines == "\n\n":
            lines = "\n\n" + "> " * min(self._quote, 20)
        self._write(lines)

    def _write(self, text: str) -> None:
        if text and not self._hidden:
            self._out.append(text)
