//! Whisper's 100 languages and the names that callers use for them.

use std::fmt;

/// One of Whisper's languages.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Language(u8);

/// An entry of the language table.
struct LanguageEntry {
    /// Whisper's code: ISO 639-1, or 639-3 if there is none. Javanese is `jw`, as in the models.
    code: &'static str,
    /// English name in lower case.
    name: &'static str,
    /// ISO 639-3.
    iso_639_3: &'static str,
    /// Other accepted names: ISO 639-2/B, withdrawn and macro-language codes, synonyms.
    aliases: &'static [&'static str],
}

impl Language {
    /// The only language of the English-only models.
    pub const ENGLISH: Self = Self(0);

    /// All languages, in the order of the models' language tokens.
    pub const ALL: [Self; ENTRIES.len()] = {
        let mut all = [Self(0); ENTRIES.len()];
        let mut index = 0;
        while index < all.len() {
            all[index] = Self(index as u8);
            index += 1;
        }
        all
    };

    /// Parses the name of a language, ignoring case: ISO 639-1, ISO 639-3 or 639-2/B (`tur`, `ger`), an
    /// English name (`turkish`, `flemish`), or a tag that starts with a code (`en-US`, `zh-Hant-TW`,
    /// `pt_BR`).
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let whole = Self::find(|entry| entry.has_name(text));
        whole.or_else(|| {
            let (subtag, _) = text.split_once(['-', '_'])?;
            Self::find(|entry| subtag.len() <= 3 && entry.has_name(subtag))
        })
    }

    /// The code in Whisper's language token and in responses with codes: `tr`.
    pub fn code(self) -> &'static str {
        self.entry().code
    }

    /// The English name in lower case, as in `verbose_json`: `turkish`.
    pub fn name(self) -> &'static str {
        self.entry().name
    }

    /// Whether words are separated by spaces (OpenAI's `split_to_word_tokens`).
    pub fn puts_spaces_between_words(self) -> bool {
        !matches!(self.code(), "zh" | "ja" | "th" | "lo" | "my" | "yue")
    }

    fn find(predicate: impl Fn(&LanguageEntry) -> bool) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|language| predicate(language.entry()))
    }

    fn entry(self) -> &'static LanguageEntry {
        &ENTRIES[usize::from(self.0)]
    }
}

/// Formats the code.
impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.code())
    }
}

impl fmt::Debug for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Language({})", self.code())
    }
}

impl LanguageEntry {
    fn has_name(&self, text: &str) -> bool {
        let Self {
            code,
            name,
            iso_639_3,
            aliases,
        } = *self;
        [code, name, iso_639_3]
            .iter()
            .chain(aliases)
            .any(|known| known.eq_ignore_ascii_case(text))
    }
}

const fn entry(
    code: &'static str,
    name: &'static str,
    iso_639_3: &'static str,
    aliases: &'static [&'static str],
) -> LanguageEntry {
    LanguageEntry {
        code,
        name,
        iso_639_3,
        aliases,
    }
}

/// Order, codes and names from OpenAI's `whisper/tokenizer.py`, aliases from there and from
/// ISO 639.
static ENTRIES: [LanguageEntry; 100] = [
    entry("en", "english", "eng", &[]),
    entry("zh", "chinese", "zho", &["chi", "cmn", "mandarin"]),
    entry("de", "german", "deu", &["ger"]),
    entry("es", "spanish", "spa", &["castilian"]),
    entry("ru", "russian", "rus", &[]),
    entry("ko", "korean", "kor", &[]),
    entry("fr", "french", "fra", &["fre"]),
    entry("ja", "japanese", "jpn", &[]),
    entry("pt", "portuguese", "por", &[]),
    entry("tr", "turkish", "tur", &[]),
    entry("pl", "polish", "pol", &[]),
    entry("ca", "catalan", "cat", &["valencian"]),
    entry("nl", "dutch", "nld", &["dut", "flemish"]),
    entry("ar", "arabic", "ara", &["arb"]),
    entry("sv", "swedish", "swe", &[]),
    entry("it", "italian", "ita", &[]),
    entry("id", "indonesian", "ind", &["in"]),
    entry("hi", "hindi", "hin", &[]),
    entry("fi", "finnish", "fin", &[]),
    entry("vi", "vietnamese", "vie", &[]),
    entry("he", "hebrew", "heb", &["iw"]),
    entry("uk", "ukrainian", "ukr", &[]),
    entry("el", "greek", "ell", &["gre"]),
    entry("ms", "malay", "msa", &["may", "zlm", "zsm"]),
    entry("cs", "czech", "ces", &["cze"]),
    entry(
        "ro",
        "romanian",
        "ron",
        &["rum", "moldavian", "moldovan", "mo"],
    ),
    entry("da", "danish", "dan", &[]),
    entry("hu", "hungarian", "hun", &[]),
    entry("ta", "tamil", "tam", &[]),
    entry("no", "norwegian", "nor", &["nb", "nob", "bokmal"]),
    entry("th", "thai", "tha", &[]),
    entry("ur", "urdu", "urd", &[]),
    entry("hr", "croatian", "hrv", &[]),
    entry("bg", "bulgarian", "bul", &[]),
    entry("lt", "lithuanian", "lit", &[]),
    entry("la", "latin", "lat", &[]),
    entry("mi", "maori", "mri", &["mao"]),
    entry("ml", "malayalam", "mal", &[]),
    entry("cy", "welsh", "cym", &["wel"]),
    entry("sk", "slovak", "slk", &["slo"]),
    entry("te", "telugu", "tel", &[]),
    entry("fa", "persian", "fas", &["per", "pes", "farsi"]),
    entry("lv", "latvian", "lav", &["lvs"]),
    entry("bn", "bengali", "ben", &["bangla"]),
    entry("sr", "serbian", "srp", &[]),
    entry("az", "azerbaijani", "aze", &["azj"]),
    entry("sl", "slovenian", "slv", &["slovene"]),
    entry("kn", "kannada", "kan", &[]),
    entry("et", "estonian", "est", &["ekk"]),
    entry("mk", "macedonian", "mkd", &["mac"]),
    entry("br", "breton", "bre", &[]),
    entry("eu", "basque", "eus", &["baq"]),
    entry("is", "icelandic", "isl", &["ice"]),
    entry("hy", "armenian", "hye", &["arm"]),
    entry("ne", "nepali", "nep", &["npi"]),
    entry("mn", "mongolian", "mon", &["khk"]),
    entry("bs", "bosnian", "bos", &[]),
    entry("kk", "kazakh", "kaz", &[]),
    entry("sq", "albanian", "sqi", &["alb", "als"]),
    entry("sw", "swahili", "swa", &["swh"]),
    entry("gl", "galician", "glg", &[]),
    entry("mr", "marathi", "mar", &[]),
    entry("pa", "punjabi", "pan", &["panjabi"]),
    entry("si", "sinhala", "sin", &["sinhalese"]),
    entry("km", "khmer", "khm", &[]),
    entry("sn", "shona", "sna", &[]),
    entry("yo", "yoruba", "yor", &[]),
    entry("so", "somali", "som", &[]),
    entry("af", "afrikaans", "afr", &[]),
    entry("oc", "occitan", "oci", &[]),
    entry("ka", "georgian", "kat", &["geo"]),
    entry("be", "belarusian", "bel", &[]),
    entry("tg", "tajik", "tgk", &[]),
    entry("sd", "sindhi", "snd", &[]),
    entry("gu", "gujarati", "guj", &[]),
    entry("am", "amharic", "amh", &[]),
    entry("yi", "yiddish", "yid", &["ji", "ydd"]),
    entry("lo", "lao", "lao", &[]),
    entry("uz", "uzbek", "uzb", &["uzn"]),
    entry("fo", "faroese", "fao", &[]),
    entry("ht", "haitian creole", "hat", &["haitian"]),
    entry("ps", "pashto", "pus", &["pushto", "pbt"]),
    entry("tk", "turkmen", "tuk", &[]),
    entry("nn", "nynorsk", "nno", &[]),
    entry("mt", "maltese", "mlt", &[]),
    entry("sa", "sanskrit", "san", &[]),
    entry("lb", "luxembourgish", "ltz", &["letzeburgesch"]),
    entry("my", "myanmar", "mya", &["bur", "burmese"]),
    entry("bo", "tibetan", "bod", &["tib"]),
    entry("tl", "tagalog", "tgl", &["fil", "filipino"]),
    entry("mg", "malagasy", "mlg", &["plt"]),
    entry("as", "assamese", "asm", &[]),
    entry("tt", "tatar", "tat", &[]),
    entry("haw", "hawaiian", "haw", &[]),
    entry("ln", "lingala", "lin", &[]),
    entry("ha", "hausa", "hau", &[]),
    entry("ba", "bashkir", "bak", &[]),
    entry("jw", "javanese", "jav", &["jv"]),
    entry("su", "sundanese", "sun", &[]),
    entry("yue", "cantonese", "yue", &[]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, code: &str) {
        assert_eq!(
            Language::parse(text).map(Language::code),
            Some(code),
            "{text:?}"
        );
    }

    #[test]
    fn parses_all_kinds_of_names() {
        for (text, code) in [
            ("tr", "tr"),
            (" TR ", "tr"),
            ("tur", "tr"),
            ("Turkish", "tr"),
            ("tr_TR.UTF-8", "tr"),
            ("en-US", "en"),
            ("zh-Hant-TW", "zh"),
            ("pt_BR", "pt"),
            ("Castilian", "es"),
            ("flemish", "nl"),
            ("haitian creole", "ht"),
            ("ger", "de"),
            ("deu", "de"),
            ("nb-NO", "no"),
            ("nn", "nn"),
            ("jv", "jw"),
            ("iw", "he"),
            ("cmn", "zh"),
            ("yue", "yue"),
            ("fil-PH", "tl"),
            ("haw", "haw"),
        ] {
            check(text, code);
        }
    }

    #[test]
    fn refuses_unknown_languages() {
        for text in [
            "",
            " ",
            "xx",
            "klingon",
            "x-turkish",
            "turkish-ish",
            "-tr",
            "auto",
            "türkçe",
        ] {
            assert_eq!(Language::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn every_name_is_unambiguous() {
        for language in Language::ALL {
            let entry = language.entry();
            for text in [entry.code, entry.name, entry.iso_639_3]
                .iter()
                .chain(entry.aliases)
            {
                check(text, language.code());
                check(&text.to_uppercase(), language.code());
            }
            assert_eq!(entry.name, entry.name.to_lowercase());
        }
    }

    #[test]
    fn japanese_has_no_spaces_between_words() {
        let spaced = |code| Language::parse(code).unwrap().puts_spaces_between_words();

        assert!(spaced("tr") && spaced("ko"));
        assert!(!spaced("ja") && !spaced("yue"));
    }

    #[test]
    fn formats_the_code() {
        assert_eq!(
            format!("{:>4}|{:?}", Language::ENGLISH, Language::ALL[9]),
            "  en|Language(tr)"
        );
    }
}
