//! Reads the clock of a Theora stream (Theora specification, 6.2 and A.2.3).

use symphonia::core::units::{TimeBase, Timestamp};

use super::page::Page;

/// Frame rate and interpretation of granule positions.
pub struct TheoraClock {
    /// Duration of a picture.
    pub time_base: TimeBase,
    /// Number of bits of a granule position that count pictures since the last key picture.
    shift: u32,
}

impl TheoraClock {
    /// Parses the identification header.
    pub fn parse(head: &[u8]) -> Option<Self> {
        if !head.starts_with(b"\x80theora") {
            return None;
        }
        let number = |at: usize| Some(u32::from_be_bytes(*head.get(at..)?.first_chunk()?));
        let (numerator, denominator) = (number(22)?, number(26)?);
        let flags = u16::from_be_bytes(*head.get(40..)?.first_chunk()?);
        Some(Self {
            time_base: TimeBase::try_new(denominator, numerator)?,
            shift: u32::from(flags >> 5 & 0x1f),
        })
    }

    /// Start of the first picture that ends on a page.
    pub fn start(&self, page: &Page) -> Option<Timestamp> {
        let is_picture = |data: &[u8]| data.first().is_none_or(|first| first & 0x80 == 0);
        let parts = page.parts();
        let pictures = parts
            .iter()
            .filter(|part| part.is_end && is_picture(part.data))
            .count();
        if pictures == 0 || page.granule < 0 {
            return None;
        }
        let key = page.granule >> self.shift;
        let end = key + (page.granule - (key << self.shift));
        Some(Timestamp::new((end - pictures as i64).max(0)))
    }
}
