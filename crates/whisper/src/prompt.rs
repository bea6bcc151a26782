//! The prompt: the tokens before the generated text.

use super::{Language, Vocabulary};

/// Maximum number of tokens of previous text in a prompt: half of the decoder's context of 448, less the
/// `<|startofprev|>` token.
pub const MAX_PREVIOUS_TOKENS: usize = 223;

/// The task of the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Task {
    /// Transcribe in the spoken language.
    Transcribe,
    /// Translate to English.
    Translate,
}

/// The parts of a prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PromptSpec {
    /// The spoken language, specified or detected. If it is `None` or not known to the model, language and
    /// task are left out, and the model chooses them.
    pub language: Option<Language>,
    /// The task.
    pub task: Task,
    /// Whether the model generates time stamps between segments.
    pub timestamps: bool,
    /// Tokens of the previous text, of which the last [`MAX_PREVIOUS_TOKENS`] are used.
    pub previous: Vec<u32>,
}

impl Task {
    /// Every task.
    pub const ALL: [Self; 2] = [Self::Transcribe, Self::Translate];

    /// Its name in the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Transcribe => "transcribe",
            Self::Translate => "translate",
        }
    }

    /// Finds a task by its name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|task| task.name() == name)
    }
}

impl Vocabulary {
    /// The prompt, in the order of OpenAI's decoder: previous text, start of the transcript,
    /// language, task, `<|notimestamps|>`. English-only models get neither language nor task.
    pub fn prompt(&self, spec: &PromptSpec) -> Vec<u32> {
        let previous = last(&spec.previous, MAX_PREVIOUS_TOKENS);
        let mut prompt = Vec::with_capacity(previous.len() + 5);
        if !previous.is_empty() {
            prompt.push(self.sot_prev());
            prompt.extend_from_slice(previous);
        }
        prompt.push(self.sot());
        if self.is_multilingual() {
            let language = spec.language.and_then(|known| self.language_token(known));
            prompt.extend(
                language
                    .into_iter()
                    .flat_map(|id| [id, self.task_token(spec.task)]),
            );
        }
        if !spec.timestamps {
            prompt.push(self.no_timestamps());
        }
        prompt
    }

    /// The last [`MAX_PREVIOUS_TOKENS`] tokens of a caller's prompt: a space and the trimmed text, as in the
    /// reference. Empty for blank text.
    pub fn encode_prompt_text(&self, text: &str) -> Vec<u32> {
        let text = text.trim();
        if text.is_empty() {
            return Vec::new();
        }
        // Text before this position cannot affect the tokens that are kept.
        let needed = MAX_PREVIOUS_TOKENS * self.max_text_token_bytes();
        let before = text.len().saturating_sub(needed);
        let start = (0..=before)
            .rev()
            .find(|&at| text.is_char_boundary(at))
            .unwrap_or(0);
        let ids = self.encode(&format!(" {}", &text[start..]));
        last(&ids, MAX_PREVIOUS_TOKENS).to_vec()
    }

    /// The strings of `ids`, CTranslate2's format of prompts.
    pub fn token_strings(&self, ids: &[u32]) -> Vec<String> {
        ids.iter().map(|&id| self.token(id).to_owned()).collect()
    }
}

fn last(ids: &[u32], count: usize) -> &[u32] {
    &ids[ids.len().saturating_sub(count)..]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_models::load;

    #[track_caller]
    fn check(model: &str, spec: &PromptSpec, expected: &str) {
        let vocabulary = load(model);
        let strings = vocabulary.token_strings(&vocabulary.prompt(spec));
        assert_eq!(strings.join(" "), expected, "{model} {spec:?}");
    }

    fn spec(language: &str, task: Task, timestamps: bool, previous: &[u32]) -> PromptSpec {
        PromptSpec {
            language: Language::parse(language),
            task,
            timestamps,
            previous: previous.to_vec(),
        }
    }

    #[test]
    fn orders_the_tokens_like_the_reference() {
        let translate = spec("tr", Task::Translate, false, &[6124, 42016, 11]);
        let english = spec("tr", Task::Translate, false, &[4638, 11]);
        let transcribe = spec("ja", Task::Transcribe, true, &[]);
        let cantonese = spec("yue", Task::Transcribe, true, &[]);
        for (model, spec, expected) in [
            (
                "base",
                &translate,
                "<|startofprev|> ĠMer haba , <|startoftranscript|> <|tr|> <|translate|> <|notimestamps|>",
            ),
            (
                "base",
                &transcribe,
                "<|startoftranscript|> <|ja|> <|transcribe|>",
            ),
            ("base", &cantonese, "<|startoftranscript|>"),
            (
                "tiny.en",
                &english,
                "<|startofprev|> ĠMer , <|startoftranscript|> <|notimestamps|>",
            ),
            ("tiny.en", &transcribe, "<|startoftranscript|>"),
        ] {
            check(model, spec, expected);
        }
    }

    #[test]
    fn keeps_the_end_of_a_long_previous_text() {
        let base = load("base");
        let previous: Vec<u32> = (0..300).collect();

        let prompt = base.prompt(&spec("en", Task::Transcribe, true, &previous));

        assert_eq!(prompt.len(), 1 + 223 + 3);
        assert_eq!(prompt[..3], [base.sot_prev(), 77, 78]);
        assert_eq!(prompt[224..], [base.sot(), 50259, 50359]);
    }

    #[test]
    fn encodes_the_callers_prompt_like_the_reference() {
        for (model, text, ids) in [
            ("base", "Ankara, Türkiye", &[42483, 2419, 11, 32901][..]),
            ("base", "\n Ankara, Türkiye ", &[42483, 2419, 11, 32901]),
            (
                "tiny.en",
                "Ankara, Türkiye",
                &[28760, 11, 309, 25151, 4106, 5948],
            ),
            ("base", " \t", &[]),
        ] {
            assert_eq!(
                load(model).encode_prompt_text(text),
                ids,
                "{model} {text:?}"
            );
        }
    }

    #[test]
    fn truncating_a_long_prompt_early_changes_nothing() {
        let base = load("base");
        let text = "Çığ düştü, 世界 ".repeat(20_000);

        let ids = base.encode_prompt_text(&text);

        let all = base.encode(&format!(" {}", text.trim()));
        assert_eq!(ids, all[all.len() - 223..]);
    }
}
