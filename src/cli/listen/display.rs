//! Shows the text of a session: on a terminal as it comes, otherwise a line for each turn.

use crate::cli::escape::Escaped;

/// Clears the row of the cursor, and returns to its begin.
const CLEAR_ROW: &str = "\r\u{1b}[K";
const GREY: &str = "\u{1b}[2m";
const NORMAL: &str = "\u{1b}[0m";

/// A change of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TextUpdate {
    /// The text of the turn so far.
    Partial {
        /// The part that stays.
        committed: String,
        /// The part behind it that may change.
        tail: String,
    },
    /// The text of the turn; the next text is of the next turn.
    Final(String),
}

/// What is on the screen.
///
/// A terminal can rewrite only the row of the cursor reliably: rows above it scroll. So words that stay are written
/// into rows that are full, and only the last row is written again.
#[derive(Debug)]
pub struct Display {
    /// Columns of the terminal; `None` without one.
    width: Option<usize>,
    /// Text of this turn in the rows above the last one.
    above: String,
}

impl Display {
    /// Nothing is shown yet.
    pub fn new(width: Option<usize>) -> Self {
        Self {
            width,
            above: String::new(),
        }
    }

    /// The output that shows a change.
    pub fn show(&mut self, update: &TextUpdate) -> String {
        match (update, self.width) {
            (TextUpdate::Partial { .. }, None) => String::new(),
            (TextUpdate::Final(text), None) => match printable(text).as_str() {
                "" => String::new(),
                text => format!("{text}\n"),
            },
            (TextUpdate::Partial { committed, tail }, Some(width)) => {
                let mut output = CLEAR_ROW.to_owned();
                let row = self.fill_rows(&printable(committed), width, &mut output);
                let tail = printable(tail);
                let space = if row.is_empty() || tail.is_empty() {
                    ""
                } else {
                    " "
                };
                // The last column stays free: a full row would move the cursor to the next.
                let left = (width - 1).saturating_sub(columns(&row) + space.len());
                let tail = end_within(&tail, left);
                output + &format!("{row}{space}{GREY}{tail}{NORMAL}")
            }
            (TextUpdate::Final(text), Some(width)) => {
                let mut output = CLEAR_ROW.to_owned();
                let text = printable(text);
                if !text.starts_with(&self.above) {
                    // What is in the rows above cannot be changed; the text follows them as a whole.
                    self.above.clear();
                }
                let row = self.fill_rows(&text, width, &mut output);
                self.above.clear();
                if !text.is_empty() {
                    output += &format!("{row}\n");
                }
                output
            }
        }
    }

    /// Writes the full rows of a text of which the first part is in rows above; returns the rest.
    fn fill_rows(&mut self, text: &str, width: usize, output: &mut String) -> String {
        let Some(rest) = text.strip_prefix(&self.above) else {
            // Committed text changes never; if it does, only its new end is shown.
            return end_within(text, width - 1).to_owned();
        };
        let mut row = String::new();
        let mut filled = 0;
        for word in rest.split_inclusive(' ') {
            if !row.is_empty() && columns(&row) + columns(word.trim_end()) > width - 1 {
                *output += &format!("{}\n", row.trim_end());
                filled += row.len();
                row.clear();
            }
            row += word;
        }
        self.above += &rest[..filled];
        row.trim_end().to_owned()
    }
}

/// The text in one line, with escaped control characters.
fn printable(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    Escaped(&words.join(" ")).to_string()
}

/// The columns that a text takes: ideographs, syllables of Hangul and full-width forms take two.
fn columns(text: &str) -> usize {
    let columns = |character: char| match u32::from(character) {
        0x300..=0x36f => 0,
        0x1100..=0x115f
        | 0x2e80..=0xa4cf
        | 0xac00..=0xd7a3
        | 0xf900..=0xfaff
        | 0xfe30..=0xfe6f
        | 0xff00..=0xff60
        | 0x1f300..=0x1faff
        | 0x20000..=0x3fffd => 2,
        _ => 1,
    };
    text.chars().map(columns).sum()
}

/// The end of a text that fits into so many columns.
fn end_within(text: &str, width: usize) -> &str {
    let fits = |at: &usize| columns(&text[*at..]) <= width;
    let mut begins = text.char_indices().map(|(at, _)| at);
    begins.find(fits).map_or("", |at| &text[at..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partial(committed: &str, tail: &str) -> TextUpdate {
        TextUpdate::Partial {
            committed: committed.to_owned(),
            tail: tail.to_owned(),
        }
    }

    fn complete(text: &str) -> TextUpdate {
        TextUpdate::Final(text.to_owned())
    }

    /// The rows of a terminal after these updates, without grey; the last one is that of the cursor.
    fn screen(width: usize, updates: &[TextUpdate]) -> Vec<String> {
        let mut display = Display::new(Some(width));
        let mut rows = vec![String::new()];
        for update in updates {
            let output = display.show(update).replace(GREY, "").replace(NORMAL, "");
            for part in output.split_inclusive([char::from(b'\n')]) {
                let (part, is_end) = match part.strip_suffix('\n') {
                    Some(part) => (part, true),
                    None => (part, false),
                };
                let row = rows.last_mut().unwrap();
                match part.strip_prefix(CLEAR_ROW) {
                    Some(part) => *row = part.to_owned(),
                    None => *row += part,
                }
                assert!(columns(row) < width, "{row:?}");
                if is_end {
                    rows.push(String::new());
                }
            }
        }
        rows
    }

    #[test]
    fn the_tail_is_rewritten_in_place() {
        let mut updates = vec![
            partial("", "Mer"),
            partial("Merhaba", "dün"),
            partial("Merhaba dünya", ""),
        ];
        assert_eq!(screen(40, &updates), ["Merhaba dünya"]);
        updates.push(complete("Merhaba, dünya."));
        updates.push(partial("", "Nas"));
        assert_eq!(screen(40, &updates), ["Merhaba, dünya.", "Nas"]);
    }

    #[test]
    fn only_the_last_row_is_written_again() {
        let updates = [
            partial("one two", "three"),
            partial("one two three four", "five six seven"),
            partial("one two three four five", ""),
        ];
        assert_eq!(screen(12, &updates), ["one two", "three four", "five"]);
        let end = [complete("one two three four five six.")];
        let all = [&updates[..], &end].concat();
        assert_eq!(screen(12, &all), ["one two", "three four", "five six.", ""]);
        let other = [complete("One two.")];
        let all = [&updates[..], &other].concat();
        assert_eq!(screen(12, &all), ["one two", "three four", "One two.", ""]);
    }

    #[test]
    fn a_long_tail_shows_its_end() {
        assert_eq!(screen(10, &[partial("one", "two three")]), ["one three"]);
        assert_eq!(screen(10, &[partial("", "東京タワー")]), ["京タワー"]);
    }

    #[test]
    fn without_a_terminal_a_line_is_a_turn() {
        let mut display = Display::new(None);
        let updates = [
            partial("a", "b"),
            complete(" a b.\n"),
            complete(""),
            complete("c\u{1b}[2J"),
        ];
        let output: String = updates.iter().map(|update| display.show(update)).collect();
        assert_eq!(output, "a b.\nc\\u{1b}[2J\n");
    }
}
