//! Text of others on a terminal: control characters in the names of files and models are written out,
//! for an escape sequence in one could hide lines, rename the window or type commands.

use std::fmt::{self, Write};
use std::io::{self, IsTerminal};
use std::path::Path;

/// A name as it may be printed: with each control character as `\u{1b}`.
pub struct Printed<'a>(pub &'a str);

impl fmt::Display for Printed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&escaped(self.0, |_| false))
    }
}

/// A path as it may be printed.
pub fn path(path: &Path) -> String {
    Printed(&path.to_string_lossy()).to_string()
}

/// A path for standard output: as it may be printed on a terminal, and as it is for a program that
/// reads it.
pub fn path_for_stdout(path: &Path) -> String {
    if io::stdout().is_terminal() {
        self::path(path)
    } else {
        path.display().to_string()
    }
}

/// A message of several lines as it may be printed.
pub fn lines(text: &str) -> String {
    escaped(text, |character| character == '\n')
}

fn escaped(text: &str, is_kept: impl Fn(char) -> bool) -> String {
    let mut printed = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() && !is_kept(character) {
            // Writing to a text does not fail.
            let _written = write!(printed, "{}", character.escape_unicode());
        } else {
            printed.push(character);
        }
    }
    printed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_written_out_and_letters_stay() {
        let name = "a\u{1b}[2Jb\r\n\u{7f}\u{9b}c çığ.wav";
        let expected = r"a\u{1b}[2Jb\u{d}\u{a}\u{7f}\u{9b}c çığ.wav";
        assert_eq!(Printed(name).to_string(), expected);
        assert_eq!(path(Path::new(name)), expected);
        assert_eq!(lines("one\u{1b}\ntwo\t"), "one\\u{1b}\ntwo\\u{9}");
    }
}
