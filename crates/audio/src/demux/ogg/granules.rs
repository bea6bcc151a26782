//! Evaluates the granule positions of a stream's pages, the time stamps of Ogg. Pure.
//!
//! They are wrong in many files, so they are used only if something else confirms them.

/// The packets that end on a page.
#[derive(Clone, Copy, Debug)]
pub struct PagePackets {
    /// Number of samples they decode to.
    pub samples: i64,
    /// Whether pages before this one are missing, according to the page numbers.
    pub follow_missing_pages: bool,
    /// Whether samples before position 0 are to be dropped.
    pub may_start_before_zero: bool,
}

/// Compares granule positions with the lengths of packets.
#[derive(Debug, Default)]
pub struct GranuleTracker {
    /// Position of the end of the last page.
    end: Option<i64>,
    /// Whether the last page's position agrees with the lengths of its packets.
    agrees: bool,
}

impl GranuleTracker {
    /// Number of padding samples at the end of a stream, according to its last page.
    pub fn padding(&self, granule: i64, samples: i64) -> u64 {
        // Positions of a stream on one page start at 0.
        let before = self.end.unwrap_or(0);
        let padding = before.saturating_add(samples).saturating_sub(granule);
        match granule > before && padding > 0 {
            true => padding.unsigned_abs(),
            false => 0,
        }
    }

    /// Processes a page on which packets end. Returns the gap before its packets, in samples: missing
    /// samples, or the late start of the audio. Negative for a first page whose start is to be dropped.
    pub fn push(&mut self, granule: i64, packets: PagePackets) -> i64 {
        let before = self.end.unwrap_or(0);
        // -1 marks pages on which no packet ends.
        if granule < 0 {
            self.end = Some(before.saturating_add(packets.samples));
            return 0;
        }
        let shift = granule
            .saturating_sub(packets.samples)
            .saturating_sub(before);
        let is_first = self.end.is_none();
        self.end = Some(granule);
        if is_first {
            self.agrees = shift >= 0;
            let is_cut = packets.may_start_before_zero && granule > 0;
            return if is_cut { shift } else { shift.max(0) };
        }
        let is_loss = packets.follow_missing_pages && self.agrees && shift > 0;
        self.agrees = is_loss || shift == 0;
        if is_loss { shift } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pages of 100 samples: granule position, whether one is missing before, expected shift.
    #[track_caller]
    fn check(may_start_before_zero: bool, pages: &[(i64, bool, i64)]) {
        let mut granules = GranuleTracker::default();
        for &(granule, follow_missing_pages, expected) in pages {
            let packets = PagePackets {
                samples: 100,
                follow_missing_pages,
                may_start_before_zero,
            };
            assert_eq!(granules.push(granule, packets), expected, "{pages:?}");
        }
    }

    #[test]
    fn a_loss_needs_gaps_in_page_numbers_and_positions() {
        check(
            false,
            &[
                (100, false, 0),
                (200, false, 0),
                (550, true, 250),
                (650, false, 0),
            ],
        );
        // A gap in one of them only.
        check(false, &[(100, false, 0), (550, false, 0), (650, true, 0)]);
        check(false, &[(100, false, 0), (150, true, 0), (50, true, 0)]);
    }

    #[test]
    fn ignores_positions_after_inconsistent_ones() {
        check(
            false,
            &[(300, false, 200), (600, false, 0), (1_200, true, 0)],
        );
        check(false, &[(0, false, 0), (0, false, 0), (900, true, 0)]);
        check(
            false,
            &[
                (-1, false, 0),
                (-1, false, 0),
                (300, false, 0),
                (900, true, 500),
            ],
        );
    }

    #[test]
    fn the_first_page_may_start_late_or_before_zero() {
        check(false, &[(7_100, false, 7_000), (7_200, false, 0)]);
        check(true, &[(30, false, -70), (130, false, 0)]);
        check(true, &[(0, false, 0), (100, false, 0)]);
        check(false, &[(30, false, 0), (130, false, 0)]);
    }

    #[test]
    fn padding_is_the_excess_of_the_packet_lengths() {
        let mut granules = GranuleTracker::default();
        assert_eq!(granules.padding(90, 100), 10);
        granules.push(
            100,
            PagePackets {
                samples: 100,
                follow_missing_pages: false,
                may_start_before_zero: false,
            },
        );
        assert_eq!(granules.padding(190, 100), 10);
        for granule in [200, 300, 100, 0, -1] {
            assert_eq!(granules.padding(granule, 100), 0);
        }
    }
}
