//! The bytes of the text tokens of a byte-level vocabulary.

/// The concatenated bytes of all text tokens, so that decoding copies slices.
pub(super) struct TextBytes {
    bytes: Vec<u8>,
    /// End of the bytes of each id; they start at the end of the previous id's.
    ends: Vec<usize>,
}

impl TextBytes {
    /// Builds the table from the tokens of ids from 0 on, in the byte-level alphabet.
    pub(super) fn new(tokens: &[String]) -> Self {
        let mut text = Self {
            bytes: Vec::with_capacity(tokens.len() * 8),
            ends: Vec::with_capacity(tokens.len()),
        };
        for token in tokens {
            let spelled: Option<Vec<u8>> = token.chars().map(byte_of_letter).collect();
            // A token with a letter outside the alphabet represents itself.
            let bytes = spelled.as_deref().unwrap_or(token.as_bytes());
            text.bytes.extend_from_slice(bytes);
            text.ends.push(text.bytes.len());
        }
        text
    }

    /// The bytes of text token `id`, possibly a part of a character; empty for other ids.
    pub(super) fn of(&self, id: u32) -> &[u8] {
        let id = id as usize;
        let Some(&end) = self.ends.get(id) else {
            return &[];
        };
        let begin = id.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[begin..end]
    }

    /// Maximum length of a text token, in bytes.
    pub(super) fn max_token_bytes(&self) -> usize {
        let begins = std::iter::once(&0).chain(&self.ends);
        let lengths = self.ends.iter().zip(begins).map(|(end, begin)| end - begin);
        lengths.max().unwrap_or(0)
    }
}

/// Inverse of GPT-2's `bytes_to_unicode`: printable Latin-1 letters map to their own byte, and the 68 other
/// bytes follow in order from U+0100 on.
fn byte_of_letter(letter: char) -> Option<u8> {
    let byte = match u32::from(letter) {
        code @ (0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff) => code,
        code @ 0x100..=0x120 => code - 0x100,
        code @ 0x121..=0x142 => code - 0x121 + 0x7f,
        0x143 => 0xad,
        _ => return None,
    };
    u8::try_from(byte).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_one_letter() {
        let mut bytes: Vec<_> = ('\0'..='\u{200}').filter_map(byte_of_letter).collect();
        bytes.sort_unstable();

        assert!(bytes.into_iter().eq(0..=255));
    }

    #[test]
    fn spells_tokens_in_bytes() {
        let text = TextBytes::new(&["Ġa".into(), String::new(), "ÃŁ".into(), "日Ġ".into()]);

        assert_eq!(text.of(0), b" a");
        assert_eq!(text.of(1), b"");
        assert_eq!(text.of(2), "ß".as_bytes());
        assert_eq!(text.of(3), "日Ġ".as_bytes());
        assert_eq!(text.of(4), b"");
        assert_eq!(text.max_token_bytes(), 5);
    }
}
