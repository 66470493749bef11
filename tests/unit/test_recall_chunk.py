"""Chunks: where a text is cut, what is kept together, and what is said twice."""

import pytest

from mentha.recall.chunk import Chunk, split

SENTENCES = [f"Sentence number {n} says something about the matter." for n in range(100, 160)]


def texts(text: str, chars_max: int, overlap_chars: int = 0) -> list[str]:
    return [chunk.text for chunk in split(text, chars_max=chars_max, overlap_chars=overlap_chars)]


def paragraph(sentences: int, first: int = 0) -> str:
    return " ".join(SENTENCES[first : first + sentences])


# --- what is not cut


@pytest.mark.parametrize("text", ["", " ", "\n\n", "a", "  indented\n\n\ttext \n"])
def test_text_that_fits_is_one_chunk_as_it_is(text: str) -> None:
    assert split(text, chars_max=100, overlap_chars=20) == [Chunk(text)]


def test_blank_text_that_does_not_fit_is_one_chunk_cut_to_size() -> None:
    assert split(" \n" * 500, chars_max=10, overlap_chars=2) == [Chunk(" \n" * 5)]


@pytest.mark.parametrize(("chars_max", "overlap_chars"), [(0, 0), (-5, 0), (10, -1)])
def test_size_that_makes_no_sense_is_refused(chars_max: int, overlap_chars: int) -> None:
    with pytest.raises(ValueError, match="chars_max must be at least 1"):
        split("text", chars_max=chars_max, overlap_chars=overlap_chars)


# --- where it is cut, strongest boundary first


@pytest.mark.parametrize("heading", ["# Second", "  ###### Second ##", "Second\n======", "Second\n---", "<h2>Second</h2>"])
def test_heading_begins_a_chunk_once_the_one_before_has_half_its_size(heading: str) -> None:
    first, second = paragraph(6), paragraph(4, 6)
    text = f"# First\n\n{first}\n\n{heading}\n\n{second}\n\n{second}"
    assert texts(text, 500) == [f"# First\n\n{first}", f"{heading}\n\n{second}\n\n{second}"]


def test_short_sections_share_a_chunk() -> None:
    sections = [f"## Part {n}\n\n{SENTENCES[n]}" for n in range(12)]
    chunks = texts("\n\n".join(sections), 400)
    assert len(chunks) == 3
    assert all(chunk.startswith("## Part") and 200 <= len(chunk) <= 400 for chunk in chunks)


def test_chunk_ends_at_the_last_paragraph_that_fits() -> None:
    paragraphs = [paragraph(2, 2 * n) for n in range(9)]
    assert texts("\n\n".join(paragraphs), 420) == ["\n\n".join(paragraphs[n : n + 3]) for n in (0, 3, 6)]


def test_line_across_the_page_ends_a_chunk() -> None:
    first, second = paragraph(6), paragraph(6, 6)
    assert texts(f"{first}\n\n---\n\n{second}", 450) == [f"{first}\n\n---", second]
    assert texts(f"{first} <hr> {second}", 450) == [f"{first} <hr>", second]


def test_items_of_a_list_are_not_cut_in_their_middle() -> None:
    items = [f"- {SENTENCES[n]} {SENTENCES[n + 1]}\n  {SENTENCES[n + 2]}" for n in range(0, 30, 3)]
    for chunk in texts("\n".join(items), 400):
        assert all(item in items for item in chunk.replace("\n- ", "\n\n- ").split("\n\n"))


def test_rows_of_a_table_are_not_cut_in_their_middle() -> None:
    rows = [f"| {n} | {SENTENCES[n]} Also this. | {n * n} |" for n in range(30)]
    assert [row for chunk in texts("\n".join(rows), 300) for row in chunk.split("\n")] == rows


def test_wrapped_lines_are_cut_at_the_end_of_a_sentence() -> None:
    words = paragraph(30).split(" ")
    wrapped = "\n".join(" ".join(words[n : n + 9]) for n in range(0, len(words), 9))
    assert all(chunk.endswith(".") for chunk in texts(wrapped, 300))


def test_lines_without_sentences_are_cut_between_lines() -> None:
    lines = [f"2026-11-{n:02} 12:00:00 INFO request {n} took {n} ms" for n in range(60)]
    assert [line for chunk in texts("\n".join(lines), 333) for line in chunk.split("\n")] == lines


@pytest.mark.parametrize(
    ("sentence", "between"),
    [
        ("It works as it is told here.", " "),
        ("Does it work as it is told here?", " "),
        ("She said: “It works as told!”", " "),
        ("これは一つの文であり、ここで終わります。", ""),
        ("这是一个句子，它在这里结束吗？", ""),
        ("यह एक वाक्य है जो यहाँ समाप्त होता है।", " "),
        ("هل هذه جملة تنتهي هنا؟", " "),
        ("ประเทศไทยมีประชากรมากกว่าหกสิบล้านคน", " "),
        ("នេះជាប្រយោគមួយ។", " "),
    ],
)
def test_text_of_one_line_is_cut_between_sentences(sentence: str, between: str) -> None:
    chunks = texts(between.join([sentence] * 50), 150)
    assert len(chunks) > 1
    assert all(chunk.startswith(sentence) and chunk.endswith(sentence) for chunk in chunks)


@pytest.mark.parametrize(
    "part",
    [
        "Dr. Smith",
        "e.g. Paris",
        "z.B. Berlin",
        "J. R. Tolkien",
        "am 3. Oktober",
        "approx. Forty",
        "version 3.5 of",
        "et al. found",
        "bzw. Anna",
        "ул. Мира",
    ],
)
def test_full_stop_of_an_abbreviation_or_number_ends_no_sentence(part: str) -> None:
    text = f"So {part} " * 3 + "ended. "
    assert all(chunk.endswith("ended.") for chunk in texts(text * 20, 120))


def test_sentence_that_is_too_long_is_cut_at_a_clause_then_at_a_space() -> None:
    clause = "when it rains for days on end without a break in the clouds"
    assert all(chunk.endswith(",") for chunk in texts(f"{clause}, " * 20, 150)[:-1])
    assert all(chunk.split(" ")[0] == "when" or chunk[0] != " " for chunk in texts(f"{clause} " * 20, 150))
    assert {word for chunk in texts(f"{clause} " * 20, 150) for word in chunk.split()} == set(clause.split())


@pytest.mark.parametrize("whole", ["e\u0301\u0316", "👩\u200d👩\u200d👧", "👍🏽", "\ud83d\ude00", "ก\u0e38\u0e48", "ｶﾞ"], ids=ascii)
def test_character_of_several_parts_is_not_cut(whole: str) -> None:
    for chars_max in range(10, 30):
        assert all(chunk == whole * (len(chunk) // len(whole)) for chunk in texts(whole * 50, chars_max))


# --- what is kept together


def test_block_of_code_that_fits_is_not_cut() -> None:
    code = "```python\n" + "\n\n".join(f"def f{n}():\n    # Look.\n    return {n}" for n in range(8)) + "\n```"
    for before in range(1, 9):
        chunks = texts(f"{paragraph(before)}\n\n{code}\n\n{paragraph(9)}", 450, 60)
        assert any(code in chunk for chunk in chunks), before


def test_block_of_code_that_does_not_fit_is_cut_between_lines() -> None:
    code = "```\n" + "\n".join(f"value_{n} = compute_value(number={n})" for n in range(60)) + "\n```"
    assert "\n".join(texts(code, 300)) == code


def test_sign_of_a_heading_inside_of_code_is_none() -> None:
    code = "~~~ sh\n" + "\n".join(f"# step {n}\nrun {n}" for n in range(20)) + "\n~~~"
    chunks = split(f"# Real\n\n{code}\n\n{paragraph(9)}", chars_max=250, overlap_chars=0)
    assert {chunk.heading for chunk in chunks} == {"", "Real"}


def test_code_that_is_never_closed_does_not_hide_headings() -> None:
    text = f"```\n{paragraph(4)}\n\n# Heading\n\n{paragraph(6)}"
    assert [chunk.split("\n")[0] for chunk in texts(text, 330)] == ["```", "# Heading"]


def test_heading_stays_with_the_text_under_it() -> None:
    for before in range(1, 9):
        text = f"{paragraph(before)}\n\n# One\n\n## Two\n\n{paragraph(9)}"
        assert not any(chunk.endswith(("# One", "## Two")) for chunk in texts(text, 300)), before


def test_heading_stays_with_the_code_under_it() -> None:
    code = "```\n" + "call()\n" * 30 + "```"
    assert f"# Code\n\n{code}" in texts(f"{paragraph(2)}\n\n# Code\n\n{code}\n\n{paragraph(9)}", 300)


def test_first_line_of_a_chunk_keeps_what_it_is_indented_by() -> None:
    text = "\n\n".join(f"    def f{n}(self):\n        return {n} * self.factor + {n}" for n in range(20))
    assert all(chunk.startswith("    def ") for chunk in texts(text, 200))


# --- headings and overlap


def test_chunk_tells_the_heading_above_it_unless_it_begins_with_it() -> None:
    text = f"{paragraph(5)}\n\n## *Limits* ##\n\n{paragraph(9, 5)}\n\n---\n\n{paragraph(9, 14)}\n\n<h3 id=x>And <b>costs</b></h3>\n{paragraph(9, 23)}"
    told = [(chunk.text.split(" ")[0], chunk.heading) for chunk in split(text, chars_max=300, overlap_chars=0)]
    assert told[0] == ("Sentence", "")
    assert told[1] == ("##", "")
    assert ("Sentence", "*Limits*") in told
    assert ("<h3", "") in told
    assert told[-1] == ("Sentence", "And costs")


def test_chunk_begins_with_whole_sentences_of_the_one_before() -> None:
    chunks = texts(paragraph(30), 300, 120)
    for before, chunk in zip(chunks, chunks[1:], strict=False):
        shared = next(size for size in range(120, 0, -1) if before[-size:] == chunk[:size])
        assert chunk[:shared] in {paragraph(2, n) for n in range(60)}


def test_chunk_that_begins_a_section_repeats_nothing() -> None:
    text = "\n\n".join(f"# Part {n}\n\n{paragraph(4, 4 * n)}" for n in range(4))
    assert texts(text, 250, 100) == texts(text, 250)


def test_last_paragraph_is_repeated_where_it_fits() -> None:
    paragraphs = [paragraph(2, 2 * n) for n in range(9)]
    chunks = texts("\n\n".join(paragraphs), 420, 120)
    assert all(chunk.split("\n\n")[0] == before.split("\n\n")[-1] for before, chunk in zip(chunks, chunks[1:], strict=False))


# --- hostile input


@pytest.mark.parametrize(
    "part",
    [
        *(
            "a",
            " ",
            "\n",
            "\n ",
            "#",
            "# a\n",
            "#\n",
            "=",
            "a\n===\n",
            "-",
            "---\n",
            "- - - ",
            "* ",
            "```\n",
            "~~~\n```a\n",
            "<h1>",
            "<h1 ",
            "<",
            "</p>",
        ),
        *(
            ". ",
            ".",
            "a. ",
            "Dr. ",
            '."',
            "|",
            "|\n",
            "a\t",
            "\t\n",
            "\r\n",
            "1. ",
            "。",
            ",",
            "\u200b",
            "e\u0301",
            "\u0301",
            "\u200d",
            "\ud83d\ude00",
            "\f",
        ),
        *("# h" + "\n" * 990 + "x", "a" + " " * 3000, "\n" + " " * 50, "a" * 300 + "\n---\n"),
    ],
    ids=lambda part: ascii(part[:12]),
)
def test_hostile_text_takes_time_in_proportion_to_its_length(part: str) -> None:
    """To take the square of it would mean hours here, and the time limit of the tests: nothing is measured."""
    text = part * (300_000 // len(part)) + "end"
    chunks = split(text, chars_max=1_000, overlap_chars=150)
    assert all(len(chunk.text) <= 1_000 for chunk in chunks)
    assert len(chunks) <= 2 * len(text) / 850 + 1
    assert chunks[-1].text.endswith("end")
