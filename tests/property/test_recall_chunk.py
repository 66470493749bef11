"""Chunks, over generated text and sizes: nothing is lost, nothing is made up, no chunk is too large, and there are not too many."""

from collections.abc import Iterator

from hypothesis import example, given, settings
from hypothesis import strategies as st

from mentha.recall.chunk import Chunk, split

# What cuts, what keeps from cutting, and what looks like it.
structure = st.sampled_from(
    [
        *("\n", "\n\n", "\r\n", " \n \n", "\f", " ", "    ", " " * 40, "\t", "\u200b"),
        *(
            "# Heading\n",
            "## Two ##\n",
            "Title\n===\n",
            "Title\n---\n",
            "---\n",
            "* * *\n",
            "#",
            "=== \n",
            "<h2>Part</h2>",
            "<h1>",
            "<hr>",
            "</p>",
        ),
        *("```\n", "~~~ python\n", "````\n", "~~~\n", "    code()\n", "x = 1;\n"),
        *("- item\n", "12. item\n", "| a | b |\n", "a\tb\n", "<li>", "> said\n"),
        *("Dr. Who ", "z.B. so ", "It ends. ", "Really?! ", "3.5 ", "am 3. Mai ", "终わり。", "什么？", "हाँ। ", "ก ข "),
        *("a, ", "b; ", "字，", "word ", "x" * 30, "漢字"),
        *("e\u0301", "\u0301", "👩\u200d👩\u200d👧", "👍🏽", "\ud83d", "\ude00", "\ud83d\ude00", "\0"),
    ]
)
texts = st.lists(st.one_of(structure, structure, st.text(max_size=10)), max_size=80).map("".join)
sizes = st.one_of(st.integers(1, 12), st.integers(13, 400))
overlaps = st.one_of(st.just(0), st.integers(1, 200))


def fresh(chunks: list[Chunk]) -> Iterator[tuple[int, int]]:
    """From where to where each chunk has text that none before it has."""
    end = 0
    for chunk in chunks:
        yield max(chunk.start, end), chunk.start + len(chunk.text)
        end = max(end, chunk.start + len(chunk.text))


def is_within(heading: str, line: str) -> bool:
    """Whether `heading` is what a line says, less marks and tags: its characters, in order."""
    characters = iter(line)
    return all(character in characters for character in heading)


@settings(deadline=None, max_examples=400)
@example("<h1>\x1f", 1, 0)
@example("Dr. Who <li>Title\n===\nr", 1, 1)
@given(texts, sizes, overlaps)
def test_chunk_is_a_piece_of_the_text_that_fits(text: str, chars_max: int, overlap_chars: int) -> None:
    chunks = split(text, chars_max=chars_max, overlap_chars=overlap_chars)
    assert chunks
    for chunk in chunks:
        assert text[chunk.start : chunk.start + len(chunk.text)] == chunk.text
        assert len(chunk.text) <= chars_max
        assert chunk.text.strip() or not text.strip()
        assert any(is_within(chunk.heading, line) for line in text.split("\n"))
        assert chunk.heading == chunk.heading.strip()


@settings(deadline=None, max_examples=400)
@given(texts, sizes, overlaps)
def test_chunks_in_order_have_everything_but_space(text: str, chars_max: int, overlap_chars: int) -> None:
    if not text.strip():
        return
    end = 0
    for begin, until in fresh(split(text, chars_max=chars_max, overlap_chars=overlap_chars)):
        assert not text[end:begin].strip()
        assert begin < until
        end = until
    assert not text[end:].strip()


@settings(deadline=None, max_examples=400)
@given(texts, sizes, overlaps)
def test_chunks_are_few_and_overlap_little(text: str, chars_max: int, overlap_chars: int) -> None:
    overlap_chars = min(overlap_chars, chars_max // 2)
    chunks = split(text, chars_max=chars_max, overlap_chars=overlap_chars)
    assert len(chunks) <= 2 * len(text) / (chars_max - overlap_chars) + 1
    for chunk, (begin, _) in zip(chunks, fresh(chunks), strict=True):
        assert begin - chunk.start <= overlap_chars


@settings(deadline=None)
@given(texts, st.integers(0, 50), overlaps)
def test_text_that_fits_is_one_chunk_unchanged(text: str, more: int, overlap_chars: int) -> None:
    assert split(text, chars_max=max(len(text), 1) + more, overlap_chars=overlap_chars) == [Chunk(text)]


@settings(deadline=None)
@given(texts, sizes)
def test_chunks_without_overlap_are_the_text_but_for_space(text: str, chars_max: int) -> None:
    joined = "".join(chunk.text for chunk in split(text, chars_max=chars_max, overlap_chars=0))
    assert "".join(joined.split()) == "".join(text.split())
