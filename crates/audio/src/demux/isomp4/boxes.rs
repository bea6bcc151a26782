//! Iterates over boxes (ISO/IEC 14496-12, 4.2; "atoms" in Apple's QuickTime File Format).

use symphonia::core::errors::Result;

use super::input::Mp4Input;

/// The type of a box: four characters.
pub type BoxType = [u8; 4];

/// Length of a header: size and type.
const HEADER_BYTES: u64 = 8;

/// The same with a 64-bit size.
const LARGE_HEADER_BYTES: u64 = 16;

/// Type and position of a box.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BoxHeader {
    /// Type.
    pub kind: BoxType,
    /// Position of its first byte.
    pub start: u64,
    /// Position of its content.
    pub content: u64,
    /// End of its content, limited to its parent or the source.
    pub end: u64,
    /// Whether its stated end is beyond `end`.
    pub is_truncated: bool,
}

impl BoxHeader {
    /// The child boxes.
    pub fn children(&self) -> Boxes {
        Boxes {
            at: self.content,
            end: self.end,
        }
    }

    /// Reads its content, at most `max_bytes` and to the end of the source.
    ///
    /// # Errors
    /// Those of [`Mp4Input::read_at`].
    pub fn read(&self, input: &mut Mp4Input, max_bytes: u64) -> Result<Vec<u8>> {
        input.read_at(self.content, (self.end - self.content).min(max_bytes))
    }
}

/// Iterates over the boxes in a part of a source.
#[derive(Clone, Copy, Debug)]
pub struct Boxes {
    at: u64,
    end: u64,
}

impl Boxes {
    /// The boxes from position `at` to the end of the source.
    pub fn from(at: u64, input: &Mp4Input) -> Self {
        let end = input.length();
        Self { at, end }
    }

    /// The next box; `None` at the end, or if no valid box follows.
    ///
    /// # Errors
    /// Those of [`Mp4Input::read_at`].
    pub fn next(&mut self, input: &mut Mp4Input) -> Result<Option<BoxHeader>> {
        let start = self.at;
        if self.end.saturating_sub(start) < HEADER_BYTES {
            return Ok(None);
        }
        let Some(header) = input.read_array::<8>(start)? else {
            return Ok(None);
        };
        let [a, b, c, d, kind @ ..] = header;
        let small = u64::from(u32::from_be_bytes([a, b, c, d]));
        let (header_bytes, size) = match small {
            // The box extends to the end of its parent.
            0 => (HEADER_BYTES, self.end - start),
            1 => match input.read_array(start + HEADER_BYTES)? {
                Some(large) => (LARGE_HEADER_BYTES, u64::from_be_bytes(large)),
                None => return Ok(None),
            },
            size => (HEADER_BYTES, size),
        };
        let claimed_end = start.saturating_add(size);
        let content = start + header_bytes;
        if size < header_bytes || content > self.end {
            return Ok(None);
        }
        self.at = claimed_end.min(self.end);
        Ok(Some(BoxHeader {
            kind,
            start,
            content,
            end: self.at,
            is_truncated: claimed_end > self.end,
        }))
    }
}

/// Iterates over the boxes in `content`: type and content of each.
pub fn boxes_in(mut content: &[u8]) -> impl Iterator<Item = (BoxType, &[u8])> {
    std::iter::from_fn(move || {
        let mut fields = Fields(content);
        let size = fields.u32()? as usize;
        let kind = fields.take()?;
        // A size of 0 means to the end; 64-bit sizes do not occur at this depth.
        let end = match size {
            0 => content.len(),
            size => size.min(content.len()),
        };
        let inner = content.get(8..end)?;
        content = &content[end..];
        Some((kind, inner))
    })
}

/// Reads big-endian fields from the start of a byte slice.
#[derive(Clone, Copy)]
pub struct Fields<'a>(pub &'a [u8]);

impl<'a> Fields<'a> {
    /// The next `N` bytes.
    pub fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*first)
    }

    /// The next byte.
    pub fn u8(&mut self) -> Option<u8> {
        self.take().map(u8::from_be_bytes)
    }

    /// The next two bytes.
    pub fn u16(&mut self) -> Option<u16> {
        self.take().map(u16::from_be_bytes)
    }

    /// The next four bytes.
    pub fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_be_bytes)
    }

    /// The next eight bytes.
    pub fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_be_bytes)
    }

    /// The next four bytes, or eight if `is_large`.
    pub fn u32_or_u64(&mut self, is_large: bool) -> Option<u64> {
        if is_large {
            self.u64()
        } else {
            self.u32().map(u64::from)
        }
    }

    /// Skips bytes.
    pub fn skip(&mut self, bytes: usize) -> Option<()> {
        self.0 = self.0.get(bytes..)?;
        Some(())
    }

    /// The version and flags at the start of a "full box".
    pub fn version_and_flags(&mut self) -> Option<(u8, u32)> {
        let [version, flags @ ..] = self.u32()?.to_be_bytes();
        let [a, b, c] = flags;
        Some((version, u32::from_be_bytes([0, a, b, c])))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    /// Type, start and end of the content, and truncation of all boxes.
    fn walk(bytes: &[u8]) -> Vec<(BoxType, u64, u64, bool)> {
        let mut input = Mp4Input::new(Box::new(Cursor::new(bytes.to_vec())));
        let mut boxes = Boxes::from(0, &input);
        let mut found = Vec::new();
        while let Some(header) = boxes.next(&mut input).unwrap() {
            found.push((header.kind, header.content, header.end, header.is_truncated));
        }
        found
    }

    #[test]
    fn reads_boxes_with_every_kind_of_size() {
        let file = b"\0\0\0\x08free\0\0\0\x01wide\0\0\0\0\0\0\0\x11x\0\0\0\0mdatxyz";
        let expected = [
            (*b"free", 8, 8, false),
            (*b"wide", 24, 25, false),
            (*b"mdat", 33, 36, false),
        ];
        assert_eq!(walk(file), expected);
    }

    #[test]
    fn limits_boxes_to_the_file() {
        assert_eq!(walk(b"\0\0\0\x20moovabc"), [(*b"moov", 8, 11, true)]);
        assert_eq!(
            walk(b"\0\0\0\x01moov\xff\xff\xff\xff\xff\xff\xff\xff"),
            [(*b"moov", 16, 16, true)]
        );
        for junk in [
            &b""[..],
            b"\0\0\0\x08fre",
            b"\0\0\0\x07free\0\0\0\x08free",
            b"\0\0\0\x01free\0",
        ] {
            assert_eq!(walk(junk), [], "{junk:x?}");
        }
    }

    #[test]
    fn reads_boxes_in_memory() {
        let content = b"\0\0\0\x0aesdsab\0\0\0\x08free\0\0\0\0lastxyz";
        let found: Vec<_> = boxes_in(content).collect();
        assert_eq!(
            found,
            [(*b"esds", &b"ab"[..]), (*b"free", b""), (*b"last", b"xyz")]
        );
        assert_eq!(boxes_in(b"\0\0\0\x04esds").count(), 0);
        assert_eq!(
            boxes_in(b"\0\0\0\x40esdsab").next(),
            Some((*b"esds", &b"ab"[..]))
        );
    }
}
