"""The tables of the tests in src/cli/bench/word_errors.rs: words are counted as `halkspeech bench` counts them."""
import pytest

from word_errors import edits, units


@pytest.mark.parametrize(("language", "text", "expected"), [
    ("en", "Ask not, what YOUR country—can do.", "ask not what your country can do"),
    ("en", "Don't; it’s o'clock", "dont its oclock"),
    ("en", "I reference 42 %, ﬁne", "i reference 42 fine"),
    ("tr", "Işık İstanbul'da ILIK", "ışık istanbulda ılık"),
    ("tr-TR", "IĞDIR", "ığdır"),
    ("de", "STRAẞE Über", "straße über"),
    ("fr", "L’école, e\u0301te\u0301", "lécole été"),
    ("hi", "नमस्ते।", "नमस्ते"),
    ("ko", "안녕, 세상", "안녕 세상"),
    ("ja", "東京タワー、１２", "東 京 タ ワ ー 1 2"),
    ("ja", "ｶﾞｽ ガス", "ガ ス ガ ス"),
    ("zh-TW", "你好。 世界", "你 好 世 界"),
    ("", " … !", ""),
    (None, "Iş", "iş"),
])
def test_words_are_compared_without_case_and_punctuation(language, text, expected):
    assert " ".join(units(text, language)) == expected


@pytest.mark.parametrize(("reference", "hypothesis", "wrong"), [
    ("a b c", "A, b, c!", 0), ("a b c", "a x c", 1), ("a b c", "a c", 1), ("a b c", "a b b c", 1), ("a b c", "", 3),
    ("", "you you", 2), ("a b c d", "b c d e", 2), ("", "", 0),
])
def test_wrong_missing_and_added_words_are_counted(reference, hypothesis, wrong):
    assert edits(units(reference, "en"), units(hypothesis, "en")) == wrong
