"""PDFs, made by hand: pages of text, and files that are meant to hurt whoever reads them."""

import zlib
from collections.abc import Sequence


def pdf(pages: Sequence[str], *, compress: bool = True) -> bytes:
    """A file with these pages, in Latin-1."""
    return of_streams([_shown(text) for text in pages], compress=compress)


def of_streams(streams: Sequence[bytes], *, compress: bool = True, more: str = "") -> bytes:
    """A file whose pages have these contents. `more` goes into each page's dictionary."""
    kids = " ".join(f"{4 + 2 * at} 0 R" for at in range(len(streams)))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(streams)} >>".encode(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    ]
    for at, stream in enumerate(streams):
        page = f"<< /Type /Page /Parent 2 0 R /Resources << /Font << /F1 3 0 R >> >> /Contents {5 + 2 * at} 0 R {more} >>"
        packed = zlib.compress(stream) if compress else stream
        head = f"<< /Length {len(packed)} {'/Filter /FlateDecode' if compress else ''} >>\nstream\n".encode()
        objects += [page.encode(), head + packed + b"\nendstream"]
    return of_objects(objects)


def of_objects(objects: Sequence[bytes], trailer: str = "") -> bytes:
    """A file of these objects, the first of which is its root."""
    body, places = bytearray(b"%PDF-1.7\n"), list[int]()
    for at, each in enumerate(objects):
        places.append(len(body))
        body += f"{at + 1} 0 obj\n".encode() + each + b"\nendobj\n"
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    end = f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}trailer\n<< /Size {len(objects) + 1} /Root 1 0 R {trailer} >>\n"
    return bytes(body) + f"{end}startxref\n{len(body)}\n%%EOF\n".encode()


def hostile() -> dict[str, bytes]:
    """Files that are meant to hurt, by what they do."""
    # 400 MB of zeros.
    bomb = zlib.compress(zlib.compress(b"\0" * 400_000_000, 1), 9)
    return {
        "bomb": _with_filters(bomb, 2),
        "loop of pages": of_objects([b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Kids [2 0 R 2 0 R] /Count 2 >>"]),
        "deep array": of_objects([b"<< /Type /Catalog /Pages " + b"[" * 200_000 + b"]" * 200_000 + b" >>"]),
        "deep dictionary": of_objects([b"<< /Type /Catalog /Pages " + b"<< /A " * 100_000 + b">>" * 100_000 + b" >>"]),
        "many pages": of_objects(
            [
                b"<< /Type /Catalog /Pages 2 0 R >>",
                b"<< /Type /Pages /Kids [" + b"3 0 R " * 300_000 + b"] /Count 300000 >>",
                b"<< /Type /Page >>",
            ]
        ),
        "long operands": of_streams([b"[" + b"(x) -1 " * 3_000_000 + b"] TJ"]),
        "no end": b"%PDF-1.7\n1 0 obj\n<< /Length 99999999999 >>\nstream\n" + b"x" * 100_000,
        "not one": b"%PDF-" + bytes(range(256)) * 100,
        "chain of tables": b"%PDF-1.7\nxref\n0 1\n0000000000 65535 f \ntrailer\n<< /Size 1 /Prev 9 /Root 1 0 R >>\nstartxref\n9\n%%EOF\n",
    }


def _with_filters(packed: bytes, count: int) -> bytes:
    filters = " ".join(["/FlateDecode"] * count)
    head = f"<< /Length {len(packed)} /Filter [{filters}] >>\nstream\n".encode()
    page = b"<< /Type /Page /Parent 2 0 R /Contents 4 0 R >>"
    return of_objects(
        [b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>", page, head + packed + b"\nendstream"]
    )


def _shown(text: str) -> bytes:
    lines = [line.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)") for line in text.split("\n")]
    shown = " T* ".join(f"({line}) Tj" for line in lines)
    return f"BT /F1 12 Tf 14 TL 72 720 Td {shown} ET".encode("cp1252")
