"""The retrieval set is whole: what its figures rest on cannot be lost by an edit."""

import re
from collections import Counter
from typing import get_args

from bench import retrieval
from bench.retrieval import Kind

PASSAGES, QUESTIONS = retrieval.load()
LANGUAGES = ("en", "de", "fr", "es", "pt", "it", "zh", "ja")
EXTRAS = ("ru", "th")
KINDS = get_args(Kind)

BY_ID = {passage.id: passage for passage in PASSAGES}


def bare(sentence: str) -> str:
    return sentence.strip(" .!?。！？¿").casefold()


def sentences(text: str) -> list[str]:
    return re.split(r"(?<=[.!?。！？])\s*", text)


def test_set_ids_are_unique_and_in_order() -> None:
    for ids in ([passage.id for passage in PASSAGES], [question.id for question in QUESTIONS]):
        assert ids == sorted(set(ids))


def test_set_texts_are_written_once_only() -> None:
    assert len({passage.text for passage in PASSAGES}) == len(PASSAGES)
    assert len({question.text for question in QUESTIONS}) == len(QUESTIONS)


def test_set_questions_name_one_to_three_passages_that_exist() -> None:
    for question in QUESTIONS:
        assert 1 <= len(question.relevant) <= 3, question
        assert len(set(question.relevant)) == len(question.relevant), question
        assert set(question.relevant) <= BY_ID.keys(), question


def test_set_passages_have_a_title_and_80_to_700_characters() -> None:
    for passage in PASSAGES:
        assert 80 <= len(passage.text) <= 700, passage
        assert passage.title, passage
        assert passage.topic, passage


def test_set_is_large_enough_in_every_language() -> None:
    passages, questions = (Counter(row.lang for row in rows) for rows in (PASSAGES, QUESTIONS))
    assert len(PASSAGES) >= 360
    assert len(QUESTIONS) >= 150
    assert passages.keys() == questions.keys() == {*LANGUAGES, *EXTRAS}
    assert min(passages[lang] for lang in LANGUAGES) >= 22
    assert min(questions[lang] for lang in LANGUAGES) >= 9
    assert min(passages[lang] for lang in EXTRAS) >= 6
    assert min(questions[lang] for lang in EXTRAS) >= 2


def test_set_has_every_kind_in_every_large_language() -> None:
    assert {question.kind for question in QUESTIONS} == set(KINDS)
    for lang in LANGUAGES:
        assert {question.kind for question in QUESTIONS if question.lang == lang} == set(KINDS), lang


def test_set_cross_questions_alone_are_answered_in_another_language() -> None:
    for question in QUESTIONS:
        same = {BY_ID[relevant].lang == question.lang for relevant in question.relevant}
        assert same == {question.kind != "cross"}, question


def test_set_questions_repeat_no_sentence_of_a_passage() -> None:
    known = {bare(sentence) for passage in PASSAGES for text in (passage.text, passage.title) for sentence in sentences(text)}
    for question in QUESTIONS:
        assert question.kind == "exact" or bare(question.text) not in known, question


def test_set_answers_have_distractors_of_their_topic_and_language() -> None:
    beside = Counter((passage.lang, passage.topic) for passage in PASSAGES)
    topics = Counter(passage.topic for passage in PASSAGES)
    for question in QUESTIONS:
        answer = BY_ID[question.relevant[0]]
        assert beside[answer.lang, answer.topic] > len(question.relevant) or answer.lang in EXTRAS, question
        assert topics[answer.topic] >= 5, question


def test_set_exact_questions_are_found_in_their_answer_letter_by_letter() -> None:
    for question in QUESTIONS:
        if question.kind == "exact":
            answer = BY_ID[question.relevant[0]]
            assert question.text.split()[-1].casefold() in f"{answer.title} {answer.text}".casefold(), question


def test_set_docstring_tells_its_counts_as_they_are() -> None:
    told = {tuple(words[:3]) for line in (retrieval.__doc__ or "").splitlines() if len(words := line.split()) >= 2}
    passages, questions = (Counter(row.lang for row in rows) for rows in (PASSAGES, QUESTIONS))
    assert {(lang, str(passages[lang]), str(questions[lang])) for lang in passages} <= told
    kinds = Counter(question.kind for question in QUESTIONS)
    assert {(kind, str(count)) for kind, count in kinds.items()} <= {words[:2] for words in told}
