//! The smallest multilingual Whisper vocabulary: one token per byte, and the special tokens.

use serde_json::{Map, Value, json};

/// The text of its `tokenizer.json`.
pub fn tokenizer() -> String {
    let mut tokens: Vec<String> = (0..=255).map(|byte| letter(byte).to_string()).collect();
    // The empty token identifies a multilingual vocabulary.
    tokens.push(String::new());
    let text_tokens = tokens.len();
    for token in [
        "endoftext",
        "startoftranscript",
        "en",
        "tr",
        "ja",
        "translate",
        "transcribe",
        "startoflm",
        "startofprev",
        "nospeech",
        "notimestamps",
    ] {
        tokens.push(format!("<|{token}|>"));
    }
    let added = (text_tokens..)
        .zip(&tokens[text_tokens..])
        .map(|(id, token)| {
            json!({
                "id": id, "content": token, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": true,
            })
        });
    let text = (0..).zip(&tokens[..text_tokens]);
    let vocabulary: Map<String, Value> = text
        .map(|(id, token): (u32, _)| (token.clone(), id.into()))
        .collect();
    let byte_level = json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true });
    let tokenizer = json!({
        "version": "1.0",
        "added_tokens": added.collect::<Vec<_>>(),
        "pre_tokenizer": byte_level,
        "decoder": byte_level,
        "model": { "type": "BPE", "vocab": vocabulary, "merges": [] },
    });
    tokenizer.to_string()
}

/// GPT-2's character for a byte: printable bytes stand for themselves, the others map to U+0100 onwards.
fn letter(byte: u8) -> char {
    let is_printable = |byte: &u8| matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
    if is_printable(&byte) {
        return byte.into();
    }
    let before = (0..byte).filter(|byte| !is_printable(byte)).count();
    char::from_u32(0x100 + before as u32).expect("there are 68 of them")
}
