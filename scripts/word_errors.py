"""Counts word errors: normalizes texts and computes the edit distance between their words.

The rules are those of `halkspeech bench` (src/cli/bench/word_errors.rs); tests/e2e/test_word_errors.py has the
same table of tests.
"""
import re
import unicodedata

# Written without spaces: characters are counted, not words.
UNSPACED = {"ja", "zh"}


def units(text, language):
    """The normalized words: NFKC, lower case, no apostrophes, a space for all but letters, digits and marks."""
    language = re.split("[-_]", language or "")[0].lower()
    text = unicodedata.normalize("NFKC", text)
    if language == "tr":
        # Turkish has two letters i, and each has its own capital.
        text = text.replace("İ", "i").replace("I", "ı")
    text = re.sub("['’ʼ]", "", text.lower())
    text = "".join(letter if _in_word(letter) else " " for letter in text)
    return list("".join(text.split())) if language in UNSPACED else text.split()


def edits(reference, hypothesis):
    """Levenshtein distance between two lists."""
    row = list(range(len(hypothesis) + 1))
    for i, expected in enumerate(reference, 1):
        diagonal, row[0] = row[0], i
        for j, actual in enumerate(hypothesis, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (expected != actual))
    return row[-1]


def _in_word(letter):
    """Whether a character is part of a word; marks such as the virama of Hindi join their letter."""
    return letter.isalnum() or unicodedata.category(letter).startswith("M")
