"""XML of services, parsed without what makes XML dangerous: no document types, so no entities of its own, and nothing is fetched. Pure.

Expat itself resolves nothing that is outside, and without a document type there is nothing inside to expand.
"""

from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

DEPTH_MAX_LEVELS = 64
ELEMENTS_MAX = 500_000


class XmlInvalid(Exception):
    """No XML, or XML that may not be: with a document type, or too deep."""


def parse(data: bytes) -> Element:
    """The root. Names have their namespace in braces before them, as `ElementTree` has it.

    Raises:
        XmlInvalid: it is no XML, has a document type, is nested deeper than `DEPTH_MAX_LEVELS`, or has more than `ELEMENTS_MAX` elements.
    """
    builder = TreeBuilder()
    depth, count = 0, 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth, count
        depth, count = depth + 1, count + 1
        if depth > DEPTH_MAX_LEVELS or count > ELEMENTS_MAX:
            raise XmlInvalid
        builder.start(_named(name), {_named(each): value for each, value in attributes.items()})

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(_named(name))

    def refuse(*_: object) -> None:
        raise XmlInvalid

    parser = expat.ParserCreate(namespace_separator="}")
    parser.buffer_text = True
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    parser.ExternalEntityRefHandler = None
    try:
        parser.Parse(data, True)
        return builder.close()
    except (expat.ExpatError, ValueError, LookupError, AssertionError):
        raise XmlInvalid from None


def _named(name: str) -> str:
    return f"{{{name}" if "}" in name else name
