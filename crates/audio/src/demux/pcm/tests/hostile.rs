//! Inconsistent, endless, forged and truncated files.

use super::*;

#[test]
fn refuses_inconsistent_headers() {
    let data = chunk(b"data", 8, &[0x80; 8]);
    let mut silent = fmt(1, 1, 16, 2);
    silent[4..8].fill(0);
    for file in [
        wav(&fmt(1, 0, 16, 2), &data),
        wav(&fmt(1, 30_000, 16, 2), &data),
        wav(&fmt(2, 1, 4, 3), &data),
        wav(&fmt(1, 1, 16, 2)[..10], &data),
        wav(&silent, &data),
        wav16(b""),
        wav16(&chunk(b"LIST", 26, b"")),
        [&b"RIFF\0\0\0\0WAVE"[..], &data].concat(),
        b"RIFF\0\0\0\0WAVE".to_vec(),
        b".snd\0\0\0\x18\0\0\0\0\0\0\0\x03".to_vec(),
        b"FORM\0\0\0\0AIFF".to_vec(),
        b"caff\0\x01\0\0desc\0\0\0\0\0\0\0\x20".to_vec(),
    ] {
        assert!(matches!(read_file(&file), ReadResult::Error(_)), "{file:?}");
    }
    for file in [
        &b""[..],
        b"RIFF",
        b"RIFF\0\0\0\0AVI LIST",
        b"fLaC",
        b"ID3\x04\0\0\xff\xff\xff\xff",
    ] {
        assert_eq!(read_file(file), ReadResult::Unrecognized, "{file:?}");
    }
}

#[test]
fn stops_after_a_bounded_number_of_chunks() {
    let file = wav16(&chunk(b"LIST", 0, b"").repeat(1_000_000));
    assert!(matches!(read_file(&file), ReadResult::Error(_)));
    let file = wav16(&chunk(b"data", 0, b"").repeat(1_000_000));
    check(&file, b"");
}

#[test]
fn no_forged_byte_and_no_truncation_panics() {
    let sound = sound();
    let files = [
        wav16(&chunk(b"data", u32::MAX, &sound)),
        aiff(b"AIFC", 16, b"sowt\0\0", &ssnd(1_208, 0, &sound)),
        caf(
            b"lpcm",
            2,
            [2, 1],
            16,
            &[b"data\0\0\0\0\0\0\x04\xb4\0\0\0\0", &sound[..]].concat(),
        ),
        au(24, 1_200, 3, &sound),
    ];
    // Each byte of the header in turn takes extreme values, and each truncation is tried.
    for file in files {
        for at in 0..80 {
            for byte in [0, 0x7f, 0x80, 0xff] {
                let mut forged = file.clone();
                forged[at] = byte;
                read_file(&forged);
            }
            read_file(&file[..at]);
        }
    }
}
