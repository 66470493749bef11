"""Parts of messages that name files: found, counted, and replaced."""

from typing import Any
from uuid import UUID, uuid4

import pytest

from mentha.chat.messages import countable
from mentha.chat.summarise import transcript
from mentha.core import config
from mentha.core.errors import FileInvalid
from mentha.core.json import dumps, loads
from mentha.recall.document import divided
from mentha.tools.attachments import Content, _filled
from mentha.tools.file_parts import file_of, files_of, kind_of, may_name_files, text_of, text_part

ONE, TWO = uuid4(), uuid4()
FILE: Any = {"type": "file", "file": {"file_id": str(ONE), "name": "n", "tokens": 170}}
IMAGE: Any = {"type": "image_url", "image_url": {"url": f"mentha://files/{TWO}", "detail": "low"}}
TEXT: Any = {"type": "text", "text": 't "file_id":" mentha'}


def test_parts_that_name_files_are_found_the_last_first() -> None:
    messages = [{"role": "user", "content": [FILE, TEXT]}, {"role": "user", "content": "x"}, {"role": "user", "content": [FILE, IMAGE]}]
    assert list(files_of(messages)) == [TWO, ONE, ONE]
    assert may_name_files(dumps(messages))
    assert file_of({"type": "image_url", "image_url": {"url": "https://example.com/x.png"}}) is None


def test_text_that_looks_like_a_reference_is_none() -> None:
    assert not may_name_files(dumps([{"role": "user", "content": '{"file_id":"x"}'}, {"role": "user", "content": [TEXT]}]))


@pytest.mark.parametrize(
    ("head", "kind"),
    [(b"\x89PNG\r\n\x1a\n", "image"), (b"\xff\xd8\xff\xe0", "image"), (b"GIF89a", "image"), (b"RIFF1234WEBPVP8 ", "image")]
    + [(b"RIFF1234WAVE", "text"), (b"%PDF-1.4", "pdf"), (b"\xef\xbb\xbf\n%PDF-1.4", "pdf"), (b"", "text"), (b"<svg", "text")]
    + [(b"junk %PDF-1.4\n%\xe2\xe3\xcf\xd3", "pdf"), (b"A PDF begins with %PDF-1.4, says the spec.", "text")],
)
def test_first_bytes_tell_what_a_file_is(head: bytes, kind: str) -> None:
    assert kind_of(head) == kind


def test_text_is_decoded_also_where_it_ends_within_a_character() -> None:
    raw = "a\u20ac".encode()
    assert text_of(raw[:-1], name="n", whole=False) == "a"
    assert text_of("\ufeffx\u20ac".encode("utf-16-le"), name="n", whole=True) == "x\u20ac"
    for bad, whole in ((raw[:-1], True), (b"a\0b", True), (b"\xff\xfe\xff", True), (b"\x80", False)):
        with pytest.raises(FileInvalid):
            text_of(bad, name="n", whole=whole)


def test_name_of_a_file_stays_on_its_line() -> None:
    assert text_part("a\n[x]\u2028b", "t", 5) == {"type": "text", "text": "[File: a [x] b]\nt"}


def test_newest_files_have_room_and_older_ones_leave_a_note() -> None:
    settings = config.load(environ={}, flags={"files_per_turn_bytes_max": 1_000})
    ids = [uuid4() for _ in range(4)]
    contents: dict[UUID, Content] = {file_id: Content(f"f{at}", text="x" * 400) for at, file_id in enumerate(ids)}
    messages = [{"role": "user", "content": [{"type": "file", "file": {"file_id": str(file_id)}}]} for file_id in ids]
    texts = [message["content"][0]["text"] for message in loads(_filled(messages, contents, settings))]
    assert [text.startswith("[File: ") for text in texts] == [False, False, True, True]
    assert texts[1] == "[The file 'f1' was left out: too many files are in this conversation]"
    # Once one had no room, no older one has, however small: a conversation has no holes.
    contents[ids[0]] = Content("f0", text="x")
    assert "left out" in loads(_filled(messages, contents, settings))[0]["content"][0]["text"]


def test_file_counts_by_its_tokens_and_a_summary_names_it() -> None:
    assert countable({"role": "user", "content": [FILE, IMAGE, TEXT]}) == (TEXT["text"], 3)
    assert "user: [file n]\n[image]" in transcript(None, [(None, {"role": "user", "content": [FILE, IMAGE]})], chars_max=100)


def test_divided_text_is_cut_at_its_joints_and_is_whole_again_when_joined() -> None:
    text = "one two\n\nthree four\nfive six seven eight"
    assert divided(text, 12) == ["one two\n\n", "three four\n", "five six ", "seven eight"]
    assert divided("x" * 25, 10) == ["x" * 10, "x" * 10, "x" * 5]
    assert divided("short", 10) == ["short"]
    for most in range(1, 30):
        parts = divided(text, most)
        assert "".join(parts) == text
        assert max(map(len, parts)) <= most
