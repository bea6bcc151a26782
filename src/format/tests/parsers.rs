//! Strict parsers of subtitle files.

/// A subtitle as a player sees it.
#[derive(Debug, PartialEq)]
pub struct ParsedCue {
    pub start_ms: u64,
    pub end_ms: u64,
    pub speaker: Option<String>,
    pub lines: Vec<String>,
}

/// Reads `SubRip`: cues numbered from 1, in order, each followed by one empty line.
pub fn srt(file: &str) -> Result<Vec<ParsedCue>, String> {
    let cues = blocks(file)?.into_iter().enumerate();
    let read = cues.map(|(index, block)| {
        let [number, times, lines @ ..] = block.as_slice() else {
            return Err(format!("too few lines: {block:?}"));
        };
        if *number != (index + 1).to_string() {
            return Err(format!("number {number:?} at {}", index + 1));
        }
        let (start_ms, end_ms) = range(times, ',')?;
        Ok(ParsedCue {
            start_ms,
            end_ms,
            speaker: None,
            lines: text_lines(lines)?,
        })
    });
    in_order(read.collect::<Result<_, _>>()?)
}

/// Reads the `WebVTT` that this module writes: a header, then cues without names and settings, whose
/// text is escaped except for one voice span at its start.
pub fn vtt(file: &str) -> Result<Vec<ParsedCue>, String> {
    let body = file.strip_prefix("WEBVTT\n\n").ok_or("no header")?;
    let read = blocks(body)?.into_iter().map(|block| {
        let [times, lines @ ..] = block.as_slice() else {
            return Err(format!("too few lines: {block:?}"));
        };
        let (start_ms, end_ms) = range(times, '.')?;
        let text = text_lines(lines)?.join("\n");
        let (speaker, text) = match text.strip_prefix("<v ") {
            Some(rest) => {
                let (name, text) = rest.split_once('>').ok_or("open tag")?;
                (Some(name.to_owned()), text)
            }
            None => (None, text.as_str()),
        };
        let lines = text.split('\n').map(unescape).collect::<Result<_, _>>()?;
        Ok(ParsedCue {
            start_ms,
            end_ms,
            speaker,
            lines,
        })
    });
    in_order(read.collect::<Result<_, _>>()?)
}

/// Every block ends with an empty line.
fn blocks(file: &str) -> Result<Vec<Vec<&str>>, String> {
    if file.is_empty() {
        return Ok(Vec::new());
    }
    let all = file
        .strip_suffix("\n\n")
        .ok_or("no empty line at the end")?;
    Ok(all
        .split("\n\n")
        .map(|block| block.split('\n').collect())
        .collect())
}

fn range(line: &str, mark: char) -> Result<(u64, u64), String> {
    let (start, end) = line
        .split_once(" --> ")
        .ok_or(format!("no times: {line:?}"))?;
    let (start, end) = (stamp(start, mark)?, stamp(end, mark)?);
    if start < end {
        Ok((start, end))
    } else {
        Err(format!("ends before it starts: {line:?}"))
    }
}

fn stamp(text: &str, mark: char) -> Result<u64, String> {
    let wrong = || format!("bad stamp: {text:?}");
    let (whole, ms) = text.split_once(mark).ok_or_else(wrong)?;
    let [hours, minutes, seconds] = whole.split(':').collect::<Vec<_>>()[..] else {
        return Err(wrong());
    };
    let number = |digits: &str, fits: bool| {
        let all_digits = digits.bytes().all(|byte| byte.is_ascii_digit());
        let number = digits.parse::<u64>().ok();
        number.filter(|_| fits && all_digits).ok_or_else(wrong)
    };
    let below_sixty = |digits| number(digits, digits.len() == 2 && digits < "60");
    let (hours, minutes) = (number(hours, hours.len() >= 2)?, below_sixty(minutes)?);
    let (seconds, ms) = (below_sixty(seconds)?, number(ms, ms.len() == 3)?);
    Ok(((hours * 60 + minutes) * 60 + seconds) * 1000 + ms)
}

fn text_lines(lines: &[&str]) -> Result<Vec<String>, String> {
    // Some readers take these for line ends too.
    let breaks = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    let bad =
        |line: &&&str| line.trim().is_empty() || line.contains("-->") || line.contains(breaks);
    match lines.iter().find(bad) {
        Some(line) => Err(format!("bad line: {line:?}")),
        None if lines.is_empty() => Err("no text".to_owned()),
        None => Ok(lines.iter().map(|&line| line.to_owned()).collect()),
    }
}

/// Decodes the escapes that this module writes; refuses tags.
fn unescape(line: &str) -> Result<String, String> {
    let mut text = String::new();
    let mut rest = line;
    while let Some(c) = rest.chars().next() {
        let escapes = [("&amp;", '&'), ("&lt;", '<'), ("&gt;", '>')];
        let escape = escapes.iter().find(|(escape, _)| rest.starts_with(escape));
        let (length, c) = match (c, escape) {
            (_, Some(&(escape, c))) => (escape.len(), c),
            ('&' | '<' | '>', None) => return Err(format!("not escaped: {line:?}")),
            (c, None) => (c.len_utf8(), c),
        };
        text.push(c);
        rest = &rest[length..];
    }
    Ok(text)
}

fn in_order(cues: Vec<ParsedCue>) -> Result<Vec<ParsedCue>, String> {
    if cues.is_sorted_by_key(|cue| cue.start_ms) {
        Ok(cues)
    } else {
        Err("out of order".to_owned())
    }
}

#[test]
fn refuses_what_is_not_strict() {
    let times = "00:00:00,000 --> 00:00:00,001";
    assert!(srt(&format!("1\n{times}\na\n\n")).is_ok());
    for file in [
        format!("2\n{times}\na\n\n"),
        format!("1\n{times}\na\n"),
        format!("1\n{times}\n\n"),
        format!("1\n{times}\na\n\nb\n\n"),
        format!("1\n{times}\na-->b\n\n"),
        format!("1\n{times}\na\rb\n\n"),
        "1\n00:00:01,000 --> 00:00:01,000\na\n\n".to_owned(),
        "1\n00:00:60,000 --> 00:02:00,000\na\n\n".to_owned(),
        "1\n0:00:01,000 --> 00:00:02,000\na\n\n".to_owned(),
        format!("1\n00:00:01,000 --> 00:00:02,000\na\n\n2\n{times}\nb\n\n"),
    ] {
        assert!(srt(&file).is_err(), "{file}");
    }
    let cue = |text| format!("WEBVTT\n\n00:00:00.000 --> 00:00:00.001\n{text}\n\n");
    assert_eq!(vtt(&cue("<v A>&lt;&amp;")).unwrap()[0].lines, ["<&"]);
    for text in ["a & b", "<i>a", "a <v B>b", "&nbsp;"] {
        assert!(vtt(&cue(text)).is_err(), "{text}");
    }
}
