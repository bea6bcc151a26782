//! Sample descriptions in all forms that writers use.

use super::*;

fn boxed(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let size = content.len() as u32 + 8;
    [&size.to_be_bytes()[..], kind, content].concat()
}

/// An `stsd` of this version with one entry: its version and the fields after it.
fn stsd(stsd_version: u8, kind: &[u8; 4], version: u16, rest: &[u8]) -> Vec<u8> {
    let entry = [&[0; 8][..], &version.to_be_bytes(), &[0; 6], rest].concat();
    [
        &[stsd_version, 0, 0, 0, 0, 0, 0, 1],
        &boxed(kind, &entry)[..],
    ]
    .concat()
}

/// Channels, bits and a rate in 16.16 bits, or 0.
fn sound(channels: u16, bits: u16, rate_hz: u16) -> Vec<u8> {
    let mut fields = [channels.to_be_bytes(), bits.to_be_bytes()].concat();
    fields.extend([0; 4]);
    fields.extend((u32::from(rate_hz) << 16).to_be_bytes());
    fields
}

#[track_caller]
fn single_entry(content: &[u8]) -> SampleEntry {
    let mut entries = read_entries(content, 48_000);
    assert_eq!(entries.len(), 1);
    entries.remove(0)
}

#[track_caller]
fn check_pcm(content: &[u8], codec: AudioCodecId, frame_bytes: u32, rate_hz: u32) {
    let entry = single_entry(content);
    assert_eq!(entry.params.codec, codec);
    assert_eq!(entry.params.sample_rate, Some(rate_hz));
    let layout = FrameLayout {
        frames: 1,
        bytes: frame_bytes,
    };
    assert_eq!(entry.layout, Some(layout));
}

#[test]
fn the_wave_box_states_the_byte_order_of_pcm() {
    let wave = |order: u8| {
        let inner = [boxed(b"frma", b"in24"), boxed(b"enda", &[0, order])].concat();
        boxed(b"wave", &[&inner[..], &boxed(&[0; 4], b"")].concat())
    };
    let version_1 = |boxes: &[u8]| [&sound(2, 16, 16_000)[..], &[0; 16], boxes].concat();
    let entry = |boxes: &[u8]| stsd(0, b"in24", 1, &version_1(boxes));
    check_pcm(&entry(b""), codec::CODEC_ID_PCM_S24BE, 6, 16_000);
    check_pcm(&entry(&wave(0)), codec::CODEC_ID_PCM_S24BE, 6, 16_000);
    check_pcm(&entry(&wave(1)), codec::CODEC_ID_PCM_S24LE, 6, 16_000);
}

#[test]
fn reads_the_rate_of_pcm_in_every_version() {
    let twos = stsd(0, b"twos", 0, &sound(1, 16, 0));
    check_pcm(&twos, codec::CODEC_ID_PCM_S16BE, 2, 48_000);

    let mut fields = sound(3, 16, 1);
    fields.extend(72u32.to_be_bytes());
    fields.extend(96_000f64.to_be_bytes());
    for field in [2, 0x7f00_0000, 24, 0x0c, 6, 1u32] {
        fields.extend(field.to_be_bytes());
    }
    let lpcm = stsd(0, b"lpcm", 2, &fields);
    check_pcm(&lpcm, codec::CODEC_ID_PCM_S24LE, 6, 96_000);

    let pcm_config = boxed(b"pcmC", &[0, 0, 0, 0, 1, 32]);
    let rate = boxed(b"srat", &[0, 0, 0, 0, 0, 2, 0xee, 0]);
    let iso = [&sound(1, 16, 1)[..], &pcm_config, &rate].concat();
    check_pcm(
        &stsd(1, b"fpcm", 1, &iso),
        codec::CODEC_ID_PCM_F32LE,
        4,
        192_000,
    );

    let ulaw = stsd(0, b"ulaw", 0, &sound(2, 16, 8_000));
    check_pcm(&ulaw, codec::CODEC_ID_PCM_MULAW, 2, 8_000);
}

#[test]
fn configures_the_decoders_of_compressed_formats() {
    let stream = [
        &b"\0\0\0\0\x03\x16\0\x01\0\x04\x11\x40"[..],
        &[0; 12],
        b"\x05\x02\x12\x10",
    ]
    .concat();
    let esds = boxed(b"esds", &stream);
    let in_wave = [&[0; 16], &boxed(b"wave", &esds)[..]].concat();
    for (version, boxes) in [(0, &esds), (1, &in_wave)] {
        let entry = single_entry(&stsd(
            0,
            b"mp4a",
            version,
            &[&sound(2, 16, 44_100)[..], boxes].concat(),
        ));
        assert_eq!(entry.params.codec, codec::CODEC_ID_AAC);
        assert_eq!(entry.params.extra_data.as_deref(), Some(&b"\x12\x10"[..]));
    }

    let opus = boxed(b"dOps", b"\0\x01\x01\x38\0\0\xbb\x80\0\0\0");
    let entry = single_entry(&stsd(
        0,
        b"Opus",
        0,
        &[&sound(2, 16, 48_000)[..], &opus].concat(),
    ));
    assert_eq!(entry.params.channels, Some(layouts::CHANNEL_LAYOUT_MONO));
    assert_eq!(entry.pre_skip_frames, 312);

    let entry = single_entry(&stsd(0, b"ima4", 0, &sound(2, 16, 22_050)));
    assert_eq!(entry.params.codec, codec::CODEC_ID_ADPCM_IMA_QT);
    assert_eq!(entry.layout.map(|layout| layout.bytes), Some(68));

    let entry = single_entry(&stsd(0, b"samr", 0, &sound(1, 16, 8_000)));
    assert_eq!(entry.params.codec, AudioCodecId::new(FourCc::new(*b"samr")));
}

#[test]
fn broken_descriptions_keep_their_index() {
    let good = boxed(b"twos", &[&[0; 16], &sound(1, 16, 8_000)[..]].concat());
    let content = [
        &[0, 0, 0, 0, 0, 0, 0, 2],
        &boxed(b"mp4a", b"short")[..],
        &good,
    ]
    .concat();
    let entries = read_entries(&content, 48_000);
    assert_eq!(entries.len(), 2);
    assert_eq!(entries[0].params.codec, AudioCodecId::default());
    assert_eq!(entries[1].params.codec, codec::CODEC_ID_PCM_S16BE);
    assert!(!entries[0].is_compatible_with(&entries[1]));

    for end in 0..8 {
        assert_eq!(read_entries(&content[..end], 48_000).len(), 0);
    }
    let no_channels = stsd(0, b"twos", 0, &sound(0, 16, 8_000));
    assert_eq!(single_entry(&no_channels).layout, None);
}
