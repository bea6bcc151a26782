//! Edit lists, which map media time to presentation time (ISO/IEC 14496-12, 8.6.6).
//!
//! Both times are in the track's time scale; an edit list states durations in the movie's. The media
//! rate of an edit is ignored.

use std::ops::Range;

use super::boxes::Fields;

/// An entry of an `elst` box.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EditEntry {
    /// Duration in the presentation, in the movie's time scale.
    pub duration: u64,
    /// Start in the media, in the track's time scale; negative if nothing is presented.
    pub media_time: i64,
}

/// Reads the entries of an `elst` box, as many as it contains.
pub fn read_entries(content: &[u8]) -> Vec<EditEntry> {
    let mut fields = Fields(content);
    let mut entries = Vec::new();
    let Some((version, _)) = fields.version_and_flags() else {
        return entries;
    };
    let claimed = fields.u32().unwrap_or(0);
    for _ in 0..claimed {
        let Some(entry) = read_entry(&mut fields, version) else {
            break;
        };
        entries.push(entry);
    }
    entries
}

fn read_entry(fields: &mut Fields<'_>, version: u8) -> Option<EditEntry> {
    const RATE_BYTES: usize = 4;
    let (duration, media_time) = match version {
        1 => (fields.u64()?, fields.take().map(i64::from_be_bytes)?),
        _ => {
            let duration = u64::from(fields.u32()?);
            (duration, i64::from(fields.take().map(i32::from_be_bytes)?))
        }
    };
    fields.skip(RATE_BYTES)?;
    Some(EditEntry {
        duration,
        media_time,
    })
}

/// A presented range of media.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// Media time; an end of [`u64::MAX`] means to the end of the media.
    pub media: Range<u64>,
    /// Presentation time of its start.
    pub presentation: i64,
}

/// The time scales of a movie and of one of its tracks, in ticks per second.
#[derive(Clone, Copy, Debug)]
pub struct TimeScales {
    /// The movie's; 0 if not stated.
    pub movie: u32,
    /// The track's.
    pub track: u32,
}

impl TimeScales {
    /// Converts a duration from the movie's time scale to the track's.
    fn to_track(self, duration: u64) -> u64 {
        let movie = u128::from(self.movie.max(1));
        let scaled = (u128::from(duration) * u128::from(self.track) + movie / 2) / movie;
        u64::try_from(scaled).unwrap_or(u64::MAX)
    }
}

/// A single edit that presents all media from `media_time` on.
pub fn all_from(media_time: u64) -> Vec<Edit> {
    vec![Edit {
        media: media_time..u64::MAX,
        presentation: 0,
    }]
}

/// Converts an edit list to presented ranges, at least one. The last one extends to the end of the
/// media if it has no duration, and always in fragmented files, whose durations are written before the
/// fragments.
pub fn edits(entries: &[EditEntry], scales: TimeScales, is_fragmented: bool) -> Vec<Edit> {
    let mut edits: Vec<Edit> = Vec::new();
    let mut presentation: i64 = 0;
    for (index, entry) in entries.iter().enumerate() {
        let is_last = index + 1 == entries.len();
        let duration = scales.to_track(entry.duration);
        if let Ok(start) = u64::try_from(entry.media_time) {
            let is_open = is_last && (is_fragmented || duration == 0);
            let end = if is_open {
                u64::MAX
            } else {
                start.saturating_add(duration)
            };
            let edit = Edit {
                media: start..end,
                presentation,
            };
            match edits.last_mut() {
                Some(last) if continues(last, &edit, scales) => last.media.end = end,
                _ if end > start => edits.push(edit),
                _ => {}
            }
        }
        presentation = presentation.saturating_add_unsigned(duration);
    }
    if edits.is_empty() {
        // Only a delay: the media follows it.
        edits.push(Edit {
            media: 0..u64::MAX,
            presentation,
        });
    }
    edits
}

/// Presentation time of media from `media_time` on.
pub fn presentation_start(edits: &[Edit], media_time: u64) -> i64 {
    let edit = edits.iter().find(|edit| media_time < edit.media.end);
    edit.or(edits.last()).map_or(0, |edit| {
        let hidden_before = media_time.saturating_sub(edit.media.start);
        edit.presentation.saturating_add_unsigned(hidden_before)
    })
}

/// Number of edits that go back to earlier media.
pub fn jumps_back(edits: &[Edit]) -> usize {
    edits
        .windows(2)
        .filter(|pair| pair[1].media.start < pair[0].media.end)
        .count()
}

/// Whether `next` continues `last` without a gap, within the precision of the movie's time scale.
fn continues(last: &Edit, next: &Edit, scales: TimeScales) -> bool {
    let length = last.media.end - last.media.start;
    let is_next_in_time = last.presentation.saturating_add_unsigned(length) == next.presentation;
    is_next_in_time && last.media.end.abs_diff(next.media.start) <= scales.to_track(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCALES: TimeScales = TimeScales {
        movie: 1_000,
        track: 16_000,
    };

    #[track_caller]
    fn check(entries: &[(u64, i64)], is_fragmented: bool, expected: &[(u64, u64, i64)]) {
        let entries: Vec<_> = entries
            .iter()
            .map(|&(duration, media_time)| EditEntry {
                duration,
                media_time,
            })
            .collect();
        let edits: Vec<_> = edits(&entries, SCALES, is_fragmented)
            .into_iter()
            .map(|edit| (edit.media.start, edit.media.end, edit.presentation))
            .collect();
        assert_eq!(edits, expected);
    }

    #[test]
    fn edits_delay_cut_and_order_the_media() {
        check(&[(2_000, 1_024)], false, &[(1_024, 33_024, 0)]);
        check(
            &[(3_000, -1), (2_000, 1_024)],
            false,
            &[(1_024, 33_024, 48_000)],
        );
        check(
            &[(1_000, 160_000), (500, -1), (1_000, 0)],
            false,
            &[(160_000, 176_000, 0), (0, 16_000, 24_000)],
        );
    }

    #[test]
    fn an_edit_without_a_duration_extends_to_the_end() {
        check(&[(0, 1_024)], false, &[(1_024, u64::MAX, 0)]);
        check(&[(0, 1_024), (1_000, 0)], false, &[(0, 16_000, 0)]);
        check(&[(1_000, 1_024)], true, &[(1_024, u64::MAX, 0)]);
        check(&[(3_000, -1)], false, &[(0, u64::MAX, 48_000)]);
        check(&[], false, &[(0, u64::MAX, 0)]);
    }

    #[test]
    fn merges_contiguous_edits() {
        check(&[(1_000, 0), (1_000, 16_007)], false, &[(0, 32_007, 0)]);
        check(
            &[(1_000, 0), (1_000, 16_100)],
            false,
            &[(0, 16_000, 0), (16_100, 32_100, 16_000)],
        );
    }

    #[test]
    fn maps_media_time_to_presentation_time() {
        let edits = [
            Edit {
                media: 1_024..2_000,
                presentation: 500,
            },
            Edit {
                media: 3_000..u64::MAX,
                presentation: 9_000,
            },
        ];
        for (media_time, expected) in [(0, 500), (1_034, 510), (2_000, 9_000), (3_005, 9_005)] {
            assert_eq!(presentation_start(&edits, media_time), expected);
        }
    }

    #[test]
    fn counts_edits_that_go_back() {
        let edit = |start, end| Edit {
            media: start..end,
            presentation: 0,
        };
        assert_eq!(jumps_back(&[edit(0, 9), edit(9, 20), edit(30, 40)]), 0);
        assert_eq!(jumps_back(&[edit(0, 9), edit(8, 20), edit(0, 1)]), 2);
    }

    #[test]
    fn reads_both_versions_of_the_box() {
        let small = b"\0\0\0\0\0\0\0\x09\0\0\x07\xd0\xff\xff\xff\xff\0\x01\0\0\0\0\0";
        let large = [
            &b"\x01\0\0\0\0\0\0\x01"[..],
            &2_000u64.to_be_bytes(),
            &(-1i64).to_be_bytes(),
            b"\0\x01\0\0",
        ]
        .concat();
        let expected = [EditEntry {
            duration: 2_000,
            media_time: -1,
        }];
        assert_eq!(read_entries(small), expected);
        assert_eq!(read_entries(&large), expected);
        assert_eq!(read_entries(b"\0\0"), []);
    }
}
