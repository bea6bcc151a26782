//! A model's vocabulary: the text of its tokens, and its special tokens.

use std::io;
use std::path::{Path, PathBuf};

use tokenizers::Tokenizer;

use super::special::{SpecialTokens, token_strings};
use super::text_bytes::TextBytes;
use super::{Language, Task};

/// The file that a vocabulary is read from.
pub const TOKENIZER_FILE: &str = "tokenizer.json";

/// Maximum token id. Whisper's largest vocabulary ends at 51,865; a table is allocated up to the highest id,
/// so a forged id could fill the memory.
const MAX_ID: u32 = 1 << 20;

/// The tokens of one model, read from its `tokenizer.json`.
///
/// Ids below [`eot`](Self::eot) are text, all others are special tokens; those from
/// [`timestamp_begin`](Self::timestamp_begin) on are time stamps.
pub struct Vocabulary {
    tokenizer: Tokenizer,
    /// The string of each id, empty if the tokenizer lacks it.
    tokens: Vec<String>,
    text: TextBytes,
    special: SpecialTokens,
    /// The supported languages, and the token of each.
    languages: Vec<Language>,
    language_tokens: Vec<u32>,
    multilingual: bool,
}

/// Why a model folder has no valid vocabulary.
#[derive(Debug, thiserror::Error)]
pub enum VocabularyError {
    /// The file is missing or cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The file is not a tokenizer.
    #[error("{} is not a valid tokenizer", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: tokenizers::Error,
    },
    /// The tokenizer is not one of Whisper's.
    #[error("{} lacks Whisper's token {token}", path.display())]
    MissingToken {
        /// The file.
        path: PathBuf,
        /// The first missing token.
        token: &'static str,
    },
    /// A token id is too high.
    #[error("{} has a token with the id {id}", path.display())]
    IdTooHigh {
        /// The file.
        path: PathBuf,
        /// The highest id in it.
        id: u32,
    },
}

impl Vocabulary {
    /// Reads `tokenizer.json` in `model_dir`.
    ///
    /// # Errors
    /// If the file is missing, is not a tokenizer or not one of Whisper's; each error names the file.
    pub fn load(model_dir: &Path) -> Result<Self, VocabularyError> {
        let path = model_dir.join(TOKENIZER_FILE);
        let json = match std::fs::read(&path) {
            Ok(json) => json,
            Err(source) => return Err(VocabularyError::Read { path, source }),
        };
        let tokenizer = match Tokenizer::from_bytes(json) {
            Ok(tokenizer) => tokenizer,
            Err(source) => return Err(VocabularyError::Parse { path, source }),
        };
        Self::new(tokenizer, path)
    }

    /// `path` is the path of the file, for errors.
    fn new(mut tokenizer: Tokenizer, path: PathBuf) -> Result<Self, VocabularyError> {
        // Some fine-tuned models have a limit that would keep the beginning of a prompt, not its end.
        // Removing a limit cannot fail.
        let _ = tokenizer.with_truncation(None);
        let special = match SpecialTokens::find(&tokenizer) {
            Ok(special) => special,
            Err(token) => return Err(VocabularyError::MissingToken { path, token }),
        };
        let vocabulary = tokenizer.get_vocab(true);
        let last = vocabulary.values().copied().max().unwrap_or(0);
        if last > MAX_ID {
            return Err(VocabularyError::IdTooHigh { path, id: last });
        }
        let tokens = token_strings(vocabulary, last, &special);
        let text = TextBytes::new(&tokens[..special.eot as usize]);
        // CTranslate2's criterion: only multilingual vocabularies have the empty token. English-only models
        // list language and task tokens, but were not trained on them.
        let multilingual = tokenizer.token_to_id("").is_some();
        let (languages, language_tokens) = (0..)
            .zip(&tokens)
            .filter_map(|(id, token)| Some((parse_language_token(token)?, id)))
            .filter(|&(language, _)| multilingual || language == Language::ENGLISH)
            .unzip();
        Ok(Self {
            tokenizer,
            tokens,
            text,
            special,
            languages,
            language_tokens,
            multilingual,
        })
    }

    /// The untrimmed text of `ids`. Special tokens and time stamps are skipped, characters split over
    /// several tokens are joined, and invalid UTF-8 becomes U+FFFD.
    pub fn decode(&self, ids: &[u32]) -> String {
        let mut bytes = Vec::with_capacity(ids.len() * 6);
        for &id in ids {
            bytes.extend_from_slice(self.bytes(id));
        }
        String::from_utf8(bytes)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
    }

    /// The bytes of a text token, possibly a part of a character; empty for other ids.
    pub fn bytes(&self, id: u32) -> &[u8] {
        self.text.of(id)
    }

    /// The text tokens of `text`. Special tokens in it are dropped, so that callers cannot control the
    /// model.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        // Byte-level BPE has a token for every byte, so encoding cannot fail. If it did, a missing prompt
        // would be better than a failed request.
        let encoding = self.tokenizer.encode_fast(text, false).unwrap_or_default();
        let ids = encoding.get_ids().iter().copied();
        ids.filter(|&id| id < self.special.eot).collect()
    }

    /// Whether the model supports language and task tokens; otherwise it is English-only.
    pub fn is_multilingual(&self) -> bool {
        self.multilingual
    }

    /// The model's languages, in the order of its tokens.
    pub fn languages(&self) -> &[Language] {
        &self.languages
    }

    /// The id of a language's token, if the model supports the language.
    pub fn language_token(&self, language: Language) -> Option<u32> {
        let index = self.languages.iter().position(|&known| known == language)?;
        Some(self.language_tokens[index])
    }

    /// The language of a token such as `<|tr|>`, if the model supports it.
    pub fn language_of_token(&self, token: &str) -> Option<Language> {
        let language = parse_language_token(token)?;
        self.language_token(language).map(|_| language)
    }

    /// The string of `id` in CTranslate2; empty if there is no such token.
    pub fn token(&self, id: u32) -> &str {
        self.tokens.get(id as usize).map_or("", String::as_str)
    }

    /// `<|endoftext|>`: ends every generation. All lower ids are text.
    pub fn eot(&self) -> u32 {
        self.special.eot
    }

    /// `<|startoftranscript|>`.
    pub fn sot(&self) -> u32 {
        self.special.sot
    }

    /// `<|startofprev|>`: precedes the previous text.
    pub fn sot_prev(&self) -> u32 {
        self.special.sot_prev
    }

    /// `<|notimestamps|>`.
    pub fn no_timestamps(&self) -> u32 {
        self.special.no_timestamps
    }

    /// `<|0.00|>`; each following id is 0.02 s later.
    pub fn timestamp_begin(&self) -> u32 {
        self.special.no_timestamps + 1
    }

    pub(super) fn task_token(&self, task: Task) -> u32 {
        match task {
            Task::Transcribe => self.special.transcribe,
            Task::Translate => self.special.translate,
        }
    }

    pub(super) fn max_text_token_bytes(&self) -> usize {
        self.text.max_token_bytes()
    }
}

fn parse_language_token(token: &str) -> Option<Language> {
    let code = token.strip_prefix("<|")?.strip_suffix("|>")?;
    Language::ALL
        .into_iter()
        .find(|language| language.code() == code)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fetched_files::model_dir;
    use crate::test_models::load;

    #[test]
    fn reads_the_special_tokens_of_both_kinds_of_model() {
        for (model, multilingual, eot, sot, sot_prev, no_timestamps, languages) in [
            ("base", true, 50257, 50258, 50361, 50363, 99),
            ("tiny.en", false, 50256, 50257, 50360, 50362, 1),
        ] {
            let vocabulary = load(model);

            assert_eq!(vocabulary.is_multilingual(), multilingual);
            assert_eq!(vocabulary.eot(), eot);
            assert_eq!(vocabulary.sot(), sot);
            assert_eq!(vocabulary.sot_prev(), sot_prev);
            assert_eq!(vocabulary.no_timestamps(), no_timestamps);
            assert_eq!(vocabulary.timestamp_begin(), no_timestamps + 1);
            assert_eq!(vocabulary.languages().len(), languages);
        }
    }

    #[test]
    fn token_strings_equal_those_of_the_engine() {
        for (model, file) in [("base", "vocabulary.json"), ("tiny.en", "vocabulary.txt")] {
            let vocabulary = load(model);
            let text = std::fs::read_to_string(model_dir(model).join(file)).unwrap();
            let engine: Vec<String> = serde_json::from_str(&text)
                .unwrap_or_else(|_| text.lines().map(str::to_owned).collect());

            for (id, token) in (0..).zip(&engine) {
                assert_eq!(vocabulary.token(id), token, "{model} {id}");
            }
            assert_eq!(vocabulary.token(engine.len() as u32), "");
            assert_eq!(vocabulary.token(u32::MAX), "");
        }
    }

    #[test]
    fn encodes_and_decodes_like_the_reference() {
        let (base, english) = (load("base"), load("tiny.en"));
        for (vocabulary, text, ids) in [
            (
                base,
                " Merhaba, nasılsınız? Çığ düştü.",
                &[
                    6124, 42016, 11, 16963, 44814, 30, 6256, 7366, 12856, 83, 774, 13,
                ][..],
            ),
            (base, "こんにちは、世界。", &[38088, 1231, 24486, 1543][..]),
            (
                base,
                " 👩\u{200d}👧 naïve café 🤗",
                &[
                    36276, 102, 913, 235, 31017, 100, 1667, 15487, 303, 25118, 7385, 97, 245,
                ][..],
            ),
            (
                english,
                " It's  two  spaces\n\tand 1,234.50 €",
                &[
                    632, 338, 220, 734, 220, 9029, 198, 197, 392, 352, 11, 24409, 13, 1120, 10432,
                ][..],
            ),
        ] {
            assert_eq!(vocabulary.encode(text), ids, "{text:?}");
            assert_eq!(vocabulary.decode(ids), text);
        }
    }

    #[test]
    fn decodes_text_only_and_joins_split_characters() {
        let base = load("base");
        let emoji = base.encode("🤗");
        assert!(emoji.len() > 1);

        let ids = [
            &[50258, 50268, 50359, 50364][..],
            &emoji,
            &[50464, 50257, 60_000],
        ]
        .concat();

        assert_eq!(base.decode(&ids), "🤗");
        assert_eq!(base.decode(&emoji[..1]), "\u{fffd}");
        assert_eq!(base.decode(&[]), "");
    }

    #[test]
    fn text_cannot_contain_special_tokens() {
        let base = load("base");

        let ids = base.encode("a<|startoftranscript|><|0.00|><|tr|>b");

        assert_eq!(base.decode(&ids), "ab");
    }

    #[test]
    fn maps_language_tokens() {
        let turkish = Language::parse("tr").unwrap();
        let cantonese = Language::parse("yue").unwrap();
        let (base, english) = (load("base"), load("tiny.en"));

        assert_eq!(base.language_of_token("<|tr|>"), Some(turkish));
        assert_eq!(base.language_token(turkish), Some(50268));
        assert_eq!(
            base.language_of_token("<|yue|>"),
            None,
            "supported from large-v3 on"
        );
        assert_eq!(base.language_token(cantonese), None);
        assert_eq!(base.language_of_token("<|transcribe|>"), None);
        assert_eq!(english.language_of_token("<|tr|>"), None);
        assert!(english.languages() == [Language::ENGLISH]);
    }

    #[test]
    fn the_error_of_a_folder_without_tokenizer_names_the_file() {
        let error = Vocabulary::load(Path::new("/nowhere")).err().unwrap();

        assert_eq!(error.to_string(), "cannot read /nowhere/tokenizer.json");
    }

    #[test]
    fn refuses_an_absurd_id() {
        let json = std::fs::read_to_string(model_dir("tiny.en").join("tokenizer.json")).unwrap();
        let folder = tempfile::tempdir().unwrap();
        for id in [u32::MAX, MAX_ID + 1] {
            let absurd = json.replacen(r#""!": 0,"#, &format!(r#""!": {id},"#), 1);
            std::fs::write(folder.path().join("tokenizer.json"), absurd).unwrap();

            let error = Vocabulary::load(folder.path()).err().unwrap();

            assert!(
                matches!(error, VocabularyError::IdTooHigh { id: found, .. } if found == id),
                "{error}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_ids_decode(ids in prop::collection::vec(any_id(), 0..50)) {
            load("base").decode(&ids);
            load("tiny.en").decode(&ids);
        }

        #[test]
        fn any_text_survives_a_round_trip(text in "\\PC*") {
            let base = load("base");
            prop_assert_eq!(base.decode(&base.encode(&text)), text);
        }
    }

    fn any_id() -> impl Strategy<Value = u32> {
        prop_oneof![9 => 0..52_000_u32, 1 => any::<u32>()]
    }
}
