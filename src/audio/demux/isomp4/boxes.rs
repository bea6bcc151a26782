//! Walks the boxes of ISO/IEC 14496-12, 4.2 ("atoms" in Apple's QuickTime File Format).

use symphonia::core::errors::Result;

use super::input::Mp4Input;

/// A box's type: four characters.
pub type BoxType = [u8; 4];

/// Size and type.
const HEADER_BYTES: u64 = 8;

/// The same with a size of 64 bits behind.
const LARGE_HEADER_BYTES: u64 = 16;

/// Where a box lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BoxHeader {
    /// What it is.
    pub kind: BoxType,
    /// Its first byte.
    pub start: u64,
    /// The first byte of its content.
    pub content: u64,
    /// The byte behind its content, no further than the box or source around it goes.
    pub end: u64,
    /// Whether it claims to go on behind that.
    pub is_cut: bool,
}

impl BoxHeader {
    /// The boxes in this one.
    pub fn children(&self) -> Boxes {
        Boxes {
            at: self.content,
            end: self.end,
        }
    }

    /// Its content: at most `max_bytes` of it, and as far as the source goes.
    ///
    /// # Errors
    /// Those of [`Mp4Input::read_at`].
    pub fn read(&self, input: &mut Mp4Input, max_bytes: u64) -> Result<Vec<u8>> {
        input.read_at(self.content, (self.end - self.content).min(max_bytes))
    }
}

/// The boxes of a part of a source, in order.
#[derive(Clone, Copy, Debug)]
pub struct Boxes {
    at: u64,
    end: u64,
}

impl Boxes {
    /// Those from this byte on to the end of the source.
    pub fn from(at: u64, input: &Mp4Input) -> Self {
        let end = input.length();
        Self { at, end }
    }

    /// The next box; none at the end and where what follows is not a box.
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
            // It goes on to the end of what is around it.
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
            is_cut: claimed_end > self.end,
        }))
    }
}

/// The boxes in a content that has been read, in order: type and content of each.
pub fn boxes_in(mut content: &[u8]) -> impl Iterator<Item = (BoxType, &[u8])> {
    std::iter::from_fn(move || {
        let mut fields = Fields(content);
        let size = fields.u32()? as usize;
        let kind = fields.take()?;
        // A size of 0 goes on to the end; 64-bit sizes do not occur this deep.
        let end = match size {
            0 => content.len(),
            size => size.min(content.len()),
        };
        let inner = content.get(8..end)?;
        content = &content[end..];
        Some((kind, inner))
    })
}

/// Takes big-endian fields from the front of a content.
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

    /// The next four bytes, or eight where `is_large`.
    pub fn u32_or_u64(&mut self, is_large: bool) -> Option<u64> {
        if is_large {
            self.u64()
        } else {
            self.u32().map(u64::from)
        }
    }

    /// Passes over bytes.
    pub fn skip(&mut self, bytes: usize) -> Option<()> {
        self.0 = self.0.get(bytes..)?;
        Some(())
    }

    /// The version and the flags that begin a "full box".
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

    /// The types of the boxes, and where their content lies.
    fn walk(bytes: &[u8]) -> Vec<(BoxType, u64, u64, bool)> {
        let mut input = Mp4Input::new(Box::new(Cursor::new(bytes.to_vec())));
        let mut boxes = Boxes::from(0, &input);
        let mut found = Vec::new();
        while let Some(header) = boxes.next(&mut input).unwrap() {
            found.push((header.kind, header.content, header.end, header.is_cut));
        }
        found
    }

    #[test]
    fn boxes_of_every_size_form_are_found() {
        let file = b"\0\0\0\x08free\0\0\0\x01wide\0\0\0\0\0\0\0\x11x\0\0\0\0mdatxyz";
        let expected = [
            (*b"free", 8, 8, false),
            (*b"wide", 24, 25, false),
            (*b"mdat", 33, 36, false),
        ];
        assert_eq!(walk(file), expected);
    }

    #[test]
    fn boxes_go_no_further_than_the_file() {
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
    fn boxes_in_memory_are_walked_likewise() {
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
