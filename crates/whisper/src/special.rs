//! Special tokens, and the strings of tokens that a tokenizer may leave out.

use std::collections::HashMap;

use tokenizers::Tokenizer;

/// Number of time stamp tokens of every Whisper model: 0.00 s to 30.00 s in steps of 0.02 s.
const TIMESTAMP_TOKENS: usize = 1501;

/// Ids of the special tokens.
pub struct SpecialTokens {
    pub eot: u32,
    pub sot: u32,
    pub sot_prev: u32,
    pub no_timestamps: u32,
    pub transcribe: u32,
    pub translate: u32,
}

impl SpecialTokens {
    /// Looks the tokens up; the error is the missing token.
    pub fn find(tokenizer: &Tokenizer) -> Result<Self, &'static str> {
        let id = |token| tokenizer.token_to_id(token).ok_or(token);
        Ok(Self {
            eot: id("<|endoftext|>")?,
            sot: id("<|startoftranscript|>")?,
            sot_prev: id("<|startofprev|>")?,
            no_timestamps: id("<|notimestamps|>")?,
            transcribe: id("<|transcribe|>")?,
            translate: id("<|translate|>")?,
        })
    }
}

/// The string of each id. English-only `tokenizer.json` files lack the time stamps.
pub fn token_strings(
    vocabulary: HashMap<String, u32>,
    last: u32,
    special: &SpecialTokens,
) -> Vec<String> {
    let first_timestamp = special.no_timestamps as usize + 1;
    let count = (last as usize + 1).max(first_timestamp + TIMESTAMP_TOKENS);
    let mut tokens = vec![String::new(); count];
    for (index, token) in tokens[first_timestamp..]
        .iter_mut()
        .take(TIMESTAMP_TOKENS)
        .enumerate()
    {
        *token = format!("<|{}.{:02}|>", index / 50, index % 50 * 2);
    }
    for (token, id) in vocabulary {
        tokens[id as usize] = token;
    }
    tokens
}
