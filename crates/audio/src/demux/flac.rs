//! Reads the length of FLAC frames (RFC 9639, 9.1).

/// Samples of each channel in a frame; `None` if `frame` is not a FLAC frame.
pub fn frame_samples(frame: &[u8]) -> Option<u64> {
    let &[sync, strategy, sizes, _, number] = frame.first_chunk()?;
    if sync != 0xff || strategy & 0xfe != 0xf8 {
        return None;
    }
    // The frame number is coded like UTF-8, in one to seven bytes.
    let number_bytes = match number.leading_ones() {
        0 => 1,
        length @ 2..=7 => length as usize,
        _ => return None,
    };
    let mut uncommon = frame.iter().skip(4 + number_bytes).copied();
    let mut next = || uncommon.next().map(u64::from);
    match u64::from(sizes >> 4) {
        0 => None,
        1 => Some(192),
        code @ 2..=5 => Some(144 << code),
        6 => Some(next()? + 1),
        7 => Some((next()? << 8 | next()?) + 1),
        code => Some(1 << code),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_length_of_a_frame() {
        let frames: [(&[u8], Option<u64>); 10] = [
            (b"\xff\xf8\x10\x00\x00", Some(192)),
            (b"\xff\xf8\x59\x08\x7f", Some(4_608)),
            (b"\xff\xf9\x80\x08\x00", Some(256)),
            (b"\xff\xf8\xc9\x08\x00", Some(4_096)),
            (b"\xff\xf8\x69\x08\x00\x07", Some(8)),
            // After a frame number of three bytes.
            (b"\xff\xf8\x79\x08\xe2\x82\xac\x12\x34", Some(0x1235)),
            (b"\xff\xf8\x79\x08\xe2\x82\xac\x12", None),
            (b"\xff\xf8\x09\x08\x00", None),
            (b"\xff\xf8\xc9\x08\x80", None),
            (b"\xff\xfb\x90\x64\x00", None),
        ];
        for (frame, samples) in frames {
            assert_eq!(frame_samples(frame), samples, "{frame:x?}");
        }
    }
}
