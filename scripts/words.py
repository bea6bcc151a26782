"""Counts wrong words: how texts are made comparable, and how far apart two of them are."""
import re
import unicodedata

# Written without spaces: characters are counted, not words.
UNSPACED = {"ja", "zh"}


def units(text, language):
    """Words as compared: NFKC, lower case, punctuation to spaces, apostrophes dropped."""
    text = unicodedata.normalize("NFKC", text)
    if language == "tr":
        text = text.replace("İ", "i").replace("I", "ı")
    text = re.sub(r"[’']", "", text.lower())
    text = re.sub(r"[^\w\s]|_", " ", text)
    return list("".join(text.split())) if language in UNSPACED else text.split()


def edits(reference, heard):
    """Levenshtein distance between two lists."""
    row = list(range(len(heard) + 1))
    for i, expected in enumerate(reference, 1):
        diagonal, row[0] = row[0], i
        for j, actual in enumerate(heard, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (expected != actual))
    return row[-1]
