//! Tables of codecs and decoded samples.

use super::{ReadResult, aiff, au, caf, chunk, fmt, read_file, ssnd, wav};

#[test]
fn reads_every_kind_of_wav() {
    let extensible = |codec: u16, bits: u16, valid_bits: u16, mask: u32| {
        let mut format = fmt(0xfffe, 1, bits, bits / 8);
        format.extend(22_u16.to_le_bytes());
        format.extend(valid_bits.to_le_bytes());
        format.extend(mask.to_le_bytes());
        format.extend(codec.to_le_bytes());
        format.extend(b"\0\0\0\0\x10\0\x80\0\0\xaa\0\x38\x9b\x71");
        format
    };
    let float = |value: f32| value.to_le_bytes();
    for (format, bytes, expected) in [
        (fmt(1, 1, 8, 1), &[0xc0, 0x40][..], [0.5, -0.5]),
        (fmt(1, 1, 16, 2), &[0, 0x40, 0, 0xc0], [0.5, -0.5]),
        // No block alignment, a wrong one, or no bits.
        (fmt(1, 1, 16, 0), &[0, 0x40, 0, 0xc0], [0.5, -0.5]),
        (fmt(1, 1, 16, 4), &[0, 0x40, 0, 0xc0], [0.5, -0.5]),
        (
            fmt(1, 1, 16, 2)[..14].to_vec(),
            &[0, 0x40, 0, 0xc0],
            [0.5, -0.5],
        ),
        (
            [&fmt(1, 1, 16, 2)[..], b"\0\0"].concat(),
            &[0, 0x40, 0, 0xc0],
            [0.5, -0.5],
        ),
        (fmt(1, 1, 12, 2), &[0, 0x40, 0, 0xc0], [0.5, -0.5]),
        (fmt(1, 1, 24, 3), &[0, 0, 0x40, 0, 0, 0xc0], [0.5, -0.5]),
        (fmt(1, 1, 20, 3), &[0, 0, 0x40, 0, 0, 0xc0], [0.5, -0.5]),
        // 24 bits in 32.
        (
            fmt(1, 1, 24, 4),
            &[0, 0, 0, 0x40, 0, 0, 0, 0xc0],
            [0.5, -0.5],
        ),
        (
            extensible(1, 32, 24, 4),
            &[0, 0, 0, 0x40, 0, 0, 0, 0xc0],
            [0.5, -0.5],
        ),
        // Masks with no and with too many loudspeakers.
        (extensible(1, 16, 16, 0), &[0, 0x40, 0, 0xc0], [0.5, -0.5]),
        (
            extensible(1, 16, 12, 0x3f),
            &[0, 0x40, 0, 0xc0],
            [0.5, -0.5],
        ),
        (
            extensible(3, 32, 32, 0),
            &[float(0.5), float(-0.5)].concat(),
            [0.5, -0.5],
        ),
        (
            fmt(3, 1, 64, 8),
            &[0.5_f64, -0.5].map(f64::to_le_bytes).concat(),
            [0.5, -0.5],
        ),
        (
            fmt(6, 1, 8, 1),
            &[0xd5 ^ 0x30, 0x55 ^ 0x30],
            [1_056.0 / 32_768.0, -1_056.0 / 32_768.0],
        ),
        (
            extensible(6, 8, 8, 0),
            &[0xe5, 0x65],
            [1_056.0 / 32_768.0, -1_056.0 / 32_768.0],
        ),
        (
            fmt(7, 1, 16, 0),
            &[0xbf, 0x3f],
            [1_980.0 / 32_768.0, -1_980.0 / 32_768.0],
        ),
        (
            extensible(7, 8, 8, 0),
            &[0xbf, 0x3f],
            [1_980.0 / 32_768.0, -1_980.0 / 32_768.0],
        ),
    ] {
        let file = wav(&format, &chunk(b"data", bytes.len() as u32, bytes));
        let expected = ReadResult::Samples(vec![(16_000, expected.to_vec())]);
        assert_eq!(read_file(&file), expected, "{format:?}");
    }
}

#[test]
fn decodes_a_truncated_block_of_adpcm() {
    // One block of 505 frames in 256 bytes, and half of another.
    let mut block = vec![0; 256];
    block[..2].copy_from_slice(&4_096_i16.to_le_bytes());
    let bytes = [&block[..], &block[..128]].concat();
    let file = wav(&fmt(0x11, 1, 4, 256), &chunk(b"data", u32::MAX, &bytes));
    let ReadResult::Samples(found) = read_file(&file) else {
        panic!("not decoded")
    };
    assert_eq!(found[0].1.len(), 505 + 252);
    assert!(
        found[0]
            .1
            .iter()
            .all(|sample| (sample - 0.125).abs() < 0.01)
    );
}

#[test]
fn names_unsupported_codecs() {
    for (format, expected) in [
        (fmt(0x31, 1, 0, 65), "WAV with GSM 6.10"),
        (fmt(0x123, 1, 0, 1), "WAV with codec 0x0123"),
        (fmt(1, 1, 64, 8), "WAV with PCM of 64 bits"),
        (fmt(3, 1, 16, 2), "WAV with PCM of 16-bit floats"),
        (fmt(0x11, 3, 4, 256), "WAV with IMA ADPCM of 3 channels"),
    ] {
        let ReadResult::Error(error) = read_file(&wav(&format, &chunk(b"data", 4, &[0; 4]))) else {
            panic!("{expected} must not be decoded")
        };
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn reads_every_kind_of_au() {
    let law = |sample: f32| [sample / 32_768.0, -sample / 32_768.0];
    for (encoding, bytes, expected) in [
        (1, &[0xbf, 0x3f][..], law(1_980.0)),
        (27, &[0xe5, 0x65], law(1_056.0)),
        (2, &[0x40, 0xc0], [0.5, -0.5]),
        (3, &[0x40, 0, 0xc0, 0], [0.5, -0.5]),
        (4, &[0x40, 0, 0, 0xc0, 0, 0], [0.5, -0.5]),
        (5, &[0x40, 0, 0, 0, 0xc0, 0, 0, 0], [0.5, -0.5]),
        (
            6,
            &[0.5_f32, -0.5].map(f32::to_be_bytes).concat(),
            [0.5, -0.5],
        ),
        (
            7,
            &[0.5_f64, -0.5].map(f64::to_be_bytes).concat(),
            [0.5, -0.5],
        ),
    ] {
        let (bytes, expected) = (&bytes.repeat(9)[..], expected.repeat(9));
        let expected = ReadResult::Samples(vec![(16_000, expected)]);
        for length in [0, bytes.len() as u32, 0x7fff_ffff, u32::MAX] {
            // A comment of 8 bytes, and an offset of 0.
            let file = au(32, length, encoding, &[b"Sun 1993", bytes].concat());
            assert_eq!(read_file(&file), expected, "{encoding}");
            let file = au(0, length, encoding, bytes);
            assert_eq!(read_file(&file), expected, "{encoding}");
        }
    }
    let ReadResult::Error(error) = read_file(&au(24, 8, 23, &[0; 8])) else {
        panic!("must not be decoded")
    };
    assert!(error.starts_with("AU with G.726"), "{error}");
    assert!(
        matches!(read_file(&au(500, 8, 3, &[0; 8])), ReadResult::Samples(found) if found[0].1.is_empty())
    );
}

#[test]
fn reads_every_kind_of_aiff() {
    let big = [0x40, 0, 0xc0, 0];
    let little = [0, 0x40, 0, 0xc0];
    let law = |sample: f32| [sample / 32_768.0, -sample / 32_768.0];
    for (form, bits, codec, bytes, expected) in [
        (b"AIFF", 16, &b""[..], &big[..], [0.5, -0.5]),
        (b"AIFF", 8, b"", &[0x40, 0xc0], [0.5, -0.5]),
        (b"AIFF", 12, b"", &big, [0.5, -0.5]),
        (b"AIFF", 24, b"", &[0x40, 0, 0, 0xc0, 0, 0], [0.5, -0.5]),
        (b"AIFC", 16, b"NONE\x0enot compressed\0", &big, [0.5, -0.5]),
        (b"AIFC", 16, b"sowt\0\0", &little, [0.5, -0.5]),
        (b"AIFC", 16, b"twos", &big, [0.5, -0.5]),
        (
            b"AIFC",
            24,
            b"in24\0\0",
            &[0x40, 0, 0, 0xc0, 0, 0],
            [0.5, -0.5],
        ),
        (
            b"AIFC",
            32,
            b"23ni\0\0",
            &[0, 0, 0, 0x40, 0, 0, 0, 0xc0],
            [0.5, -0.5],
        ),
        (
            b"AIFC",
            32,
            b"fl32\0\0",
            &[0x3f, 0, 0, 0, 0xbf, 0, 0, 0],
            [0.5, -0.5],
        ),
        (
            b"AIFC",
            64,
            b"FL64\0\0",
            &[0.5_f64, -0.5].map(f64::to_be_bytes).concat(),
            [0.5, -0.5],
        ),
        (b"AIFC", 16, b"ulaw\0\0", &[0xbf, 0x3f], law(1_980.0)),
        (b"AIFC", 8, b"alaw\0\0", &[0xe5, 0x65], law(1_056.0)),
        (b"AIFC", 8, b"raw \0\0", &[0xc0, 0x40], [0.5, -0.5]),
    ] {
        let (bytes, expected) = (&bytes.repeat(9)[..], expected.repeat(9));
        let expected = ReadResult::Samples(vec![(16_000, expected)]);
        for length in [0, 8, bytes.len() as u32 + 8, 0x7fff_ffff, u32::MAX] {
            let file = aiff(form, bits, codec, &ssnd(length, 0, bytes));
            assert_eq!(read_file(&file), expected, "{codec:?}, {length}");
        }
        let file = aiff(
            form,
            bits,
            codec,
            &ssnd(bytes.len() as u32 + 11, 3, &[b"abc", bytes].concat()),
        );
        assert_eq!(read_file(&file), expected, "{codec:?}");
    }
    let ReadResult::Error(error) =
        read_file(&aiff(b"AIFC", 16, b"MAC3\0\0", &ssnd(16, 0, &[0; 8])))
    else {
        panic!("must not be decoded")
    };
    assert!(error.starts_with("AIFF with codec \"MAC3\""), "{error}");
}

#[test]
fn reads_every_kind_of_caf() {
    let law = |sample: f32| [sample / 32_768.0, -sample / 32_768.0];
    for (name, flags, bits, bytes, expected) in [
        (b"lpcm", 0, 16, &[0x40, 0, 0xc0, 0][..], [0.5, -0.5]),
        (b"lpcm", 2, 16, &[0, 0x40, 0, 0xc0], [0.5, -0.5]),
        (b"lpcm", 2, 24, &[0, 0, 0x40, 0, 0, 0xc0], [0.5, -0.5]),
        (b"lpcm", 0, 8, &[0x40, 0xc0], [0.5, -0.5]),
        (b"lpcm", 3, 32, &[0, 0, 0, 0x3f, 0, 0, 0, 0xbf], [0.5, -0.5]),
        (b"ulaw", 0, 8, &[0xbf, 0x3f], law(1_980.0)),
        (b"alaw", 0, 8, &[0xe5, 0x65], law(1_056.0)),
    ] {
        let (bytes, expected) = (&bytes.repeat(9)[..], expected.repeat(9));
        let expected = ReadResult::Samples(vec![(16_000, expected)]);
        for length in [bytes.len() as u64 + 4, 0, u64::MAX, 1 << 40] {
            let mut data = b"free\0\0\0\0\0\0\0\x03abcdata".to_vec();
            data.extend(length.to_be_bytes());
            data.extend([0; 4]);
            data.extend(bytes);
            let file = caf(name, flags, [bits / 8, 1], bits, &data);
            assert_eq!(read_file(&file), expected, "{name:?}, {length}");
        }
    }
}
