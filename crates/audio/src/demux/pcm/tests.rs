//! Reading and decoding of generated files.

use std::io::{Cursor, Read};

use symphonia::core::errors::Error;
use symphonia::core::io::ReadOnlySource;

use super::*;

mod kinds;
mod hostile;

/// Result of reading a file: rate and samples of the first channel for each format.
#[derive(Debug, PartialEq)]
enum ReadResult {
    Samples(Vec<(u32, Vec<f32>)>),
    /// Not recognised by this reader.
    Unrecognized,
    Error(String),
}

fn read(bytes: &[u8], file: Box<dyn MediaSource>) -> ReadResult {
    let mut reader = match open(file) {
        Ok(OpenResult::Opened(demuxer)) => demuxer.reader,
        Ok(OpenResult::Unrecognized(mut file)) => {
            let mut returned = Vec::new();
            file.read_to_end(&mut returned).unwrap();
            assert_eq!(returned, bytes);
            return ReadResult::Unrecognized;
        }
        Err(error) => return ReadResult::Error(error.to_string()),
    };
    let mut found = Vec::new();
    loop {
        let Some(CodecParameters::Audio(params)) = reader.tracks()[0].codec_params.clone() else {
            unreachable!("the reader states the codec")
        };
        let codecs = symphonia::default::get_codecs();
        let mut decoder = codecs
            .make_audio_decoder(&params, &Default::default())
            .unwrap();
        let mut samples = Vec::new();
        let is_over = loop {
            match reader.next_packet() {
                Ok(Some(packet)) => {
                    let mut planes: Vec<Vec<f32>> = Vec::new();
                    let decoded = decoder.decode(&packet).unwrap();
                    decoded.copy_to_vecs_planar(&mut planes);
                    let kept = planes[0].len() - packet.trim_end.get() as usize;
                    samples.extend(&planes[0][..kept]);
                }
                Ok(None) => break true,
                Err(Error::ResetRequired) => break false,
                Err(error) => panic!("{error}"),
            }
        };
        found.push((params.sample_rate.unwrap(), samples));
        if is_over {
            return ReadResult::Samples(found);
        }
    }
}

fn read_file(bytes: &[u8]) -> ReadResult {
    read(bytes, Box::new(Cursor::new(bytes.to_vec())))
}

fn read_pipe(bytes: &[u8]) -> ReadResult {
    let pipe = ReadOnlySource::new(Cursor::new(bytes.to_vec()));
    read(bytes, Box::new(pipe))
}

/// Samples as bytes, recognisable and not text.
fn sound() -> Vec<u8> {
    (0..600_i16)
        .flat_map(|index| (-8 * index).to_le_bytes())
        .collect()
}

fn samples_of(bytes: &[u8]) -> Vec<f32> {
    let samples = bytes.chunks_exact(2);
    samples
        .map(|bytes| f32::from(i16::from_le_bytes([bytes[0], bytes[1]])) / 32_768.0)
        .collect()
}

#[track_caller]
fn check(file: &[u8], expected: &[u8]) {
    assert_eq!(
        read_file(file),
        ReadResult::Samples(vec![(16_000, samples_of(expected))])
    );
}

fn chunk(name: &[u8; 4], length: u32, content: &[u8]) -> Vec<u8> {
    [name, &length.to_le_bytes()[..], content].concat()
}

/// `fmt ` of 16 bytes: codec, channels, bits and the bytes of a frame.
fn fmt(codec: u16, channels: u16, bits: u16, block_bytes: u16) -> Vec<u8> {
    let mut content = Vec::new();
    content.extend(codec.to_le_bytes());
    content.extend(channels.to_le_bytes());
    content.extend(16_000_u32.to_le_bytes());
    content.extend((16_000 * u32::from(block_bytes)).to_le_bytes());
    content.extend(block_bytes.to_le_bytes());
    content.extend(bits.to_le_bytes());
    content
}

fn wav(fmt: &[u8], chunks: &[u8]) -> Vec<u8> {
    let mut file = b"RIFF\0\0\0\0WAVE".to_vec();
    file.extend(chunk(b"fmt ", fmt.len() as u32, fmt));
    file.extend(chunks);
    let length = (file.len() - 8) as u32;
    file[4..8].copy_from_slice(&length.to_le_bytes());
    file
}

/// 16-bit mono.
fn wav16(chunks: &[u8]) -> Vec<u8> {
    wav(&fmt(1, 1, 16, 2), chunks)
}

#[test]
fn decodes_to_the_end_whatever_length_was_written_before() {
    let sound = sound();
    let truth = sound.len() as u32;
    for stated in [
        0,
        36,
        100,
        truth - 99,
        truth,
        truth + 1,
        0x7fff_ffff,
        u32::MAX - 36,
        u32::MAX,
    ] {
        for whole in [0, 36, 0x7fff_ffff, u32::MAX] {
            let mut file = wav16(&chunk(b"data", stated, &sound));
            file[4..8].copy_from_slice(&u32::to_le_bytes(whole));
            check(&file, &sound);
        }
    }
}

#[test]
fn ignores_chunks_after_the_samples() {
    let sound = sound();
    let info = chunk(b"LIST", 26, b"INFOISFT\x0d\0\0\0recorder 1.0\0\0");
    for tail in [
        info.clone(),
        // An unknown one that fits.
        chunk(b"PAD ", 6, b"\x80\x90\xa0\xb0\xc0\xd0"),
        // A known one that is truncated.
        info[..20].to_vec(),
        [b"TAG", &[0xe9; 125][..]].concat(),
        [b"ID3\x04\0\0\0\0\0\x40", &[0xe9; 64][..]].concat(),
        b"\n".repeat(100),
        b"\0\0\0".to_vec(),
    ] {
        let length = sound.len() as u32;
        check(
            &wav16(&[chunk(b"data", length, &sound), tail].concat()),
            &sound,
        );
    }
    // An odd length, with its padding and without.
    let odd = &sound[..1_199];
    for padding in [&b"\0"[..], b""] {
        let data = [&chunk(b"data", 1_199, odd), padding, &info].concat();
        check(&wav16(&data), &odd[..1_198]);
    }
    // Not a chunk: the stated length of the file excludes it from the samples.
    let junk = b"\x80\xff\0\x01".repeat(25_000);
    let file = wav16(&chunk(b"data", sound.len() as u32, &sound));
    check(&[&file[..], &junk].concat(), &sound);
    let file = wav16(&[&chunk(b"data", 1_199, odd)[..], b"\0"].concat());
    check(&[&file[..], &junk].concat(), &odd[..1_198]);
    // No samples.
    for tail in [&b""[..], &info] {
        check(&wav16(&[&chunk(b"data", 0, b""), tail].concat()), b"");
    }
}

#[test]
fn finds_the_samples_after_any_chunks() {
    let sound = sound();
    let data = chunk(b"data", sound.len() as u32, &sound);
    let info = b"INFOISFT\x0d\0\0\0recorder 1.0\0";
    for before in [
        // The padding of the contained text is outside of the LIST, inside, or missing.
        [&chunk(b"LIST", 25, info)[..], b"\0"].concat(),
        chunk(b"LIST", 25, info),
        [&chunk(b"LIST", 26, info)[..], b"\0"].concat(),
        [&chunk(b"LIST", 24, info)[..], b"\0"].concat(),
        // A length that is far too large.
        chunk(b"LIST", 5_000_000, info),
        chunk(b"JUNK", 0, &[0; 28]),
        // Longer than the buffer.
        chunk(b"bext", 70_000, &[0; 70_000]),
        chunk(b"iXML", 9, b"<BWFXML/>\0"),
        [chunk(b"fact", 4, &[0; 4]), chunk(b"PEAK", 8, &[7; 8])].concat(),
    ] {
        check(&wav16(&[before, data.clone()].concat()), &sound);
    }
    // The format may come last.
    let late = [&data[..], &chunk(b"fmt ", 16, &fmt(1, 1, 16, 2))].concat();
    check(&[&b"RIFF\0\0\0\0WAVE"[..], &late].concat(), &sound);
}

#[test]
fn continues_with_the_next_samples() {
    let sound = sound();
    let data = chunk(b"data", sound.len() as u32, &sound);
    let info = chunk(b"LIST", 4, b"INFO");
    check(
        &wav16(&[&data[..], &info, &data].concat()),
        &sound.repeat(2),
    );
    check(&wav16(&data).repeat(2), &sound.repeat(2));
    // A second file of another format.
    let mut other = wav(&fmt(1, 2, 16, 4), &data);
    other[24..28].copy_from_slice(&8_000_u32.to_le_bytes());
    let left = samples_of(&sound).into_iter().step_by(2).collect();
    assert_eq!(
        read_file(&[wav16(&data), other].concat()),
        ReadResult::Samples(vec![(16_000, samples_of(&sound)), (8_000, left)])
    );
}

#[test]
fn reads_a_pipe() {
    let sound = sound();
    let info = chunk(b"LIST", 4, b"INFO");
    for (stated, tail) in [(0, &b""[..]), (u32::MAX, b""), (1_200, &info), (9_999, b"")] {
        let file = wav16(&[&chunk(b"data", stated, &sound), tail].concat());
        let found = read_pipe(&file);
        assert_eq!(
            found,
            ReadResult::Samples(vec![(16_000, samples_of(&sound))]),
            "{stated}"
        );
    }
    assert_eq!(read_pipe(&b"text".repeat(30_000)), ReadResult::Unrecognized);
    // A large tag, after which a pipe cannot go back.
    let tag = [b"ID3\x04\0\0\0\x08\0\0", &[0x55; 131_072][..]].concat();
    assert_eq!(read_pipe(&tag), ReadResult::Unrecognized);
}

#[test]
fn leaves_compressed_audio_to_other_readers() {
    let data = chunk(b"data", 4, b"\xff\xfb\x90\x64");
    for codec in [0x50, 0x55] {
        assert_eq!(
            read_file(&wav(&fmt(codec, 1, 0, 1), &data)),
            ReadResult::Unrecognized
        );
    }
    assert_eq!(
        read_file(&caf(b"alac", 1, [0, 4_096], 0, b"data")),
        ReadResult::Unrecognized
    );
}

#[test]
fn reads_lengths_of_64_bits() {
    let sound = sound();
    for name in [b"RF64", b"BW64"] {
        for length in [sound.len() as u64, 0, u64::MAX, 1 << 40] {
            let sizes = [&[0; 8][..], &length.to_le_bytes(), &[0; 12]].concat();
            let mut file = name.to_vec();
            file.extend(b"\xff\xff\xff\xffWAVE");
            file.extend(chunk(b"ds64", 28, &sizes));
            file.extend(chunk(b"fmt ", 16, &fmt(1, 1, 16, 2)));
            file.extend(chunk(b"data", u32::MAX, &sound));
            check(&file, &sound);
            if length == sound.len() as u64 {
                file.extend(chunk(b"LIST", 4, b"INFO"));
                check(&file, &sound);
            }
        }
    }
}

#[test]
fn reads_wave64() {
    let sound = sound();
    let chunk = |name: &[u8; 4], length: u64, content: &[u8]| {
        let identifier = b"\xf3\xac\xd3\x11\x8c\xd1\0\xc0\x4f\x8e\xdb\x8a";
        [name, &identifier[..], &length.to_le_bytes(), content].concat()
    };
    for length in [sound.len() as u64 + 24, 0, 24, u64::MAX] {
        let mut file = [
            &b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\0\0"[..],
            &[0; 8],
        ]
        .concat();
        file.extend(b"wave\xf3\xac\xd3\x11\x8c\xd1\0\xc0\x4f\x8e\xdb\x8a");
        file.extend(chunk(b"fmt ", 40, &fmt(1, 1, 16, 2)));
        // Chunks end at a multiple of eight bytes.
        file.extend(chunk(b"junk", 27, &[1, 2, 3, 0, 0, 0, 0, 0]));
        file.extend(chunk(b"data", length, &sound));
        check(&file, &sound);
    }
}

fn au(offset: u32, length: u32, encoding: u32, content: &[u8]) -> Vec<u8> {
    let mut file = b".snd".to_vec();
    for word in [offset, length, encoding, 16_000, 1] {
        file.extend(word.to_be_bytes());
    }
    file.extend(content);
    file
}

/// `form` is AIFF or AIFC, `codec` the additional fields of AIFC.
fn aiff(form: &[u8; 4], bits: u16, codec: &[u8], sound: &[u8]) -> Vec<u8> {
    let chunk = |name: &[u8; 4], length: usize, content: &[u8]| {
        [name, &(length as u32).to_be_bytes()[..], content].concat()
    };
    let mut common = vec![0, 1, 0, 0, 0, 0];
    common.extend(bits.to_be_bytes());
    // 16,000 as an 80-bit float.
    common.extend(b"\x40\x0c\xfa\0\0\0\0\0\0\0");
    common.extend(codec);
    let mut file = [b"FORM\0\0\0\0", &form[..]].concat();
    file.extend(chunk(b"COMM", common.len(), &common));
    file.extend(sound);
    file
}

fn ssnd(length: u32, offset: u32, content: &[u8]) -> Vec<u8> {
    let mut chunk = b"SSND".to_vec();
    for word in [length, offset, 0] {
        chunk.extend(word.to_be_bytes());
    }
    chunk.extend(content);
    chunk
}

fn caf(name: &[u8; 4], flags: u32, packet: [u32; 2], bits: u32, data: &[u8]) -> Vec<u8> {
    let mut file = b"caff\0\x01\0\0desc\0\0\0\0\0\0\0\x20".to_vec();
    file.extend(16_000_f64.to_be_bytes());
    file.extend(name);
    for word in [flags, packet[0], packet[1], 1, bits] {
        file.extend(word.to_be_bytes());
    }
    file.extend(data);
    file
}
