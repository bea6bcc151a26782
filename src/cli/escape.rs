//! Escapes control characters in untrusted text before it is printed: an escape sequence in the name of
//! a file or model could hide lines, rename the window or type commands.

use std::fmt::{self, Write};
use std::io::{self, IsTerminal};
use std::path::Path;

/// Displays a text with each control character escaped as `\u{1b}`.
pub struct Escaped<'a>(pub &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&escaped(self.0, |_| false))
    }
}

/// A path with escaped control characters.
pub fn path(path: &Path) -> String {
    Escaped(&path.to_string_lossy()).to_string()
}

/// A path for standard output: escaped on a terminal, unchanged for a program that reads it.
pub fn path_for_stdout(path: &Path) -> String {
    if io::stdout().is_terminal() {
        self::path(path)
    } else {
        path.display().to_string()
    }
}

/// A message of several lines with escaped control characters; line breaks stay.
pub fn lines(text: &str) -> String {
    escaped(text, |character| character == '\n')
}

fn escaped(text: &str, is_kept: impl Fn(char) -> bool) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() && !is_kept(character) {
            // Writing to a String cannot fail.
            let _always_ok = write!(escaped, "{}", character.escape_unicode());
        } else {
            escaped.push(character);
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_control_characters_and_keeps_letters() {
        let name = "a\u{1b}[2Jb\r\n\u{7f}\u{9b}c çığ.wav";
        let expected = r"a\u{1b}[2Jb\u{d}\u{a}\u{7f}\u{9b}c çığ.wav";
        assert_eq!(Escaped(name).to_string(), expected);
        assert_eq!(path(Path::new(name)), expected);
        assert_eq!(lines("one\u{1b}\ntwo\t"), "one\\u{1b}\ntwo\\u{9}");
    }
}
