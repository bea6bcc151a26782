use std::io::Cursor;

use symphonia::core::errors::Error;
use symphonia::core::formats::FormatReader;

use super::*;

/// An element with a length of four bytes.
pub fn element(id: u32, content: &[u8]) -> Vec<u8> {
    let mut bytes = id_bytes(id);
    bytes.extend((content.len() as u32 | 0x1000_0000).to_be_bytes());
    bytes.extend(content);
    bytes
}

/// The header of an element of unknown length, with its first content.
fn endless(id: u32, content: &[u8]) -> Vec<u8> {
    [&id_bytes(id)[..], &[0xff], content].concat()
}

fn id_bytes(id: u32) -> Vec<u8> {
    let bytes = id.to_be_bytes();
    bytes.into_iter().skip_while(|byte| *byte == 0).collect()
}

/// The fields of a track of 16-bit PCM, mono at 16 kHz.
pub fn pcm_track(number: u8) -> Vec<u8> {
    let audio = [
        element(id::SAMPLING_FREQUENCY, &16_000f32.to_be_bytes()),
        element(id::BIT_DEPTH, &[16]),
    ];
    let fields = [
        element(id::TRACK_NUMBER, &[number]),
        element(id::TRACK_TYPE, &[2]),
        element(id::CODEC_ID, b"A_PCM/INT/LIT"),
        element(id::AUDIO, &audio.concat()),
    ];
    fields.concat()
}

fn ebml() -> Vec<u8> {
    element(id::EBML, &element(id::DOC_TYPE, b"webm"))
}

fn tracks(entries: &[Vec<u8>]) -> Vec<u8> {
    let entries = entries.iter().map(|entry| element(id::TRACK_ENTRY, entry));
    element(id::TRACKS, &entries.collect::<Vec<_>>().concat())
}

fn block(track: u8, relative: i16, content: &[u8]) -> Vec<u8> {
    let [high, low] = relative.to_be_bytes();
    [&[0x80 | track, high, low, 0][..], content].concat()
}

fn cluster(timestamp: u16, blocks: &[Vec<u8>]) -> Vec<u8> {
    let timestamp = element(id::TIMESTAMP, &timestamp.to_be_bytes());
    let blocks = blocks
        .iter()
        .map(|block| element(id::SIMPLE_BLOCK, block))
        .collect::<Vec<_>>();
    element(id::CLUSTER, &[timestamp, blocks.concat()].concat())
}

/// A recording of one track with a segment of unknown length, as written live.
fn recording(clusters: &[Vec<u8>]) -> Vec<u8> {
    let content = [tracks(&[pcm_track(1)]), clusters.concat()].concat();
    [ebml(), endless(id::SEGMENT, &content)].concat()
}

fn open_file(file: Vec<u8>) -> Box<dyn FormatReader> {
    match open(Box::new(Cursor::new(file))).unwrap() {
        OpenResult::Opened(demuxer) => demuxer.reader,
        OpenResult::Unrecognized(_) => panic!("not opened"),
    }
}

/// The packets of a file as "time stamp in milliseconds: content", and its resets.
fn read(file: Vec<u8>) -> Vec<String> {
    let mut reader = open_file(file);
    let mut found = Vec::new();
    loop {
        match reader.next_packet() {
            Ok(Some(packet)) => {
                let content = String::from_utf8_lossy(&packet.data).into_owned();
                found.push(format!("{}: {content}", packet.pts.get() / 16));
            }
            Ok(None) => return found,
            Err(Error::ResetRequired) => found.push("reset".to_owned()),
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn reads_clusters_of_known_and_unknown_length() {
    let simple = cluster(1000, &[block(1, 0, b"aa"), block(1, -20, b"bb")]);
    let timestamp = element(id::TIMESTAMP, &2000_u16.to_be_bytes());
    let live = endless(
        id::CLUSTER,
        &[timestamp, element(id::SIMPLE_BLOCK, &block(1, 5, b"cc"))].concat(),
    );
    let unknown = element(0x4bcd, b"of a later version");
    let file = recording(&[simple, unknown, live.clone(), live]);
    assert_eq!(read(file), ["1000: aa", "980: bb", "2005: cc", "2005: cc"]);
}

#[test]
fn restores_stripped_headers() {
    let compression = [
        element(id::CONTENT_COMP_ALGO, &[3]),
        element(id::CONTENT_COMP_SETTINGS, b"head"),
    ];
    let encoding = element(id::CONTENT_COMPRESSION, &compression.concat());
    let encodings = element(
        id::CONTENT_ENCODINGS,
        &element(id::CONTENT_ENCODING, &encoding),
    );
    let track = [pcm_track(1), encodings].concat();
    let content = [tracks(&[track]), cluster(0, &[block(1, 0, b"tail")])];
    let file = [ebml(), element(id::SEGMENT, &content.concat())].concat();
    assert_eq!(read(file), ["0: headtail"]);
}

#[test]
fn names_the_codec_of_encrypted_audio() {
    let encoding = element(id::CONTENT_ENCODING_TYPE, &[1]);
    let encodings = element(
        id::CONTENT_ENCODINGS,
        &element(id::CONTENT_ENCODING, &encoding),
    );
    let track = [pcm_track(1), encodings].concat();
    let file = [ebml(), element(id::SEGMENT, &tracks(&[track]))].concat();
    match open(Box::new(Cursor::new(file))) {
        Err(AudioError::NeedsFfmpeg { format_name }) => {
            assert_eq!(format_name, "Matroska with A_PCM/INT/LIT, encrypted");
        }
        _ => panic!("not refused"),
    }
}

#[test]
fn reads_concatenated_recordings() {
    let recording = recording(&[cluster(0, &[block(1, 0, b"aa"), block(1, 900, b"bb")])]);
    assert_eq!(
        read(recording.repeat(2)),
        ["0: aa", "900: bb", "reset", "0: aa", "900: bb"]
    );
}

#[test]
fn a_repeated_header_in_a_live_stream_is_ignored() {
    let first = recording(&[cluster(0, &[block(1, 0, b"aa")])]);
    let second = recording(&[cluster(3000, &[block(1, 0, b"bb")])]);
    assert_eq!(read([first, second].concat()), ["0: aa", "3000: bb"]);
}

#[test]
fn other_tracks_need_a_new_decoder() {
    let first = recording(&[cluster(0, &[block(1, 0, b"aa")])]);
    let content = [
        tracks(&[pcm_track(7)]),
        cluster(3000, &[block(7, 0, b"bb"), block(1, 0, b"no")]),
    ];
    let second = [ebml(), element(id::SEGMENT, &content.concat())].concat();
    assert_eq!(
        read([first, second].concat()),
        ["0: aa", "reset", "3000: bb"]
    );
}

#[test]
fn a_header_within_a_frame_does_not_split_the_recording() {
    let inner = recording(&[cluster(0, &[block(1, 0, b"no")])]);
    let file = recording(&[cluster(0, &[block(1, 0, &inner), block(1, 500, b"bb")])]);
    let found = read(file);
    assert_eq!(found.len(), 2);
    assert_eq!(found[1], "500: bb");
}

#[test]
fn continues_after_damage_at_the_next_cluster() {
    // An empty packet represents the damage.
    let good = |at| cluster(at, &[block(1, 0, b"aa")]);
    let mut damaged = cluster(100, &[block(1, 0, b"bb"), block(1, 0, b"cc")]);
    let at = damaged.len() - 11;
    damaged[at..at + 4].fill(0);
    let file = recording(&[good(0), damaged, good(200)]);
    assert_eq!(read(file), ["0: aa", "100: bb", "100: ", "200: aa"]);

    // A length that extends beyond the end.
    let mut damaged = cluster(100, &[block(1, 0, b"bb"), block(1, 0, b"cc")]);
    let at = damaged.len() - 10;
    damaged[at] = 0x1f;
    let file = recording(&[good(0), damaged, good(200)]);
    assert_eq!(read(file), ["0: aa", "100: bb", "100: ", "200: aa"]);
}

#[test]
fn continues_within_a_cluster_and_marks_the_damage() {
    let blocks = [0, 1, 2, 3, 4, 5].map(|at| block(1, at * 100, &[b'a' + at as u8; 3200]));
    let mut file = recording(&[cluster(0, &blocks)]);
    // Removes the end of the third block and the start of the next.
    let at = file.len() - 3 * 3209;
    file.drain(at - 20..at + 30);
    let mut reader = open_file(file);
    let mut found = Vec::new();
    while let Some(packet) = reader.next_packet().unwrap() {
        let start = packet.pts.get() / 16;
        found.push((start, packet.dur.get() / 16, packet.data.len()));
    }
    let whole = |start| (start, 100, 3200);
    // An empty packet replaces the fourth block.
    let expected = [
        whole(0),
        whole(100),
        whole(200),
        (300, 100, 0),
        whole(400),
        whole(500),
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_truncated_recording_does_not_damage_the_next() {
    let mut first = recording(&[cluster(
        0,
        &[block(1, 0, b"aa"), block(1, 800, &[b'b'; 200])],
    )]);
    first.truncate(first.len() - 150);
    let second = recording(&[cluster(0, &[block(1, 0, &[b'c'; 300])])]);
    let found = read([first, second].concat());
    assert_eq!(found.len(), 4, "{found:?}");
    assert_eq!(found[2], "reset");
    assert!(found[3].starts_with("0: cccc"));
}

#[test]
fn reads_the_complete_packets_of_a_truncated_file() {
    let mut file = recording(&[cluster(0, &[block(1, 0, b"aa"), block(1, 20, b"bb")])]);
    file.truncate(file.len() - 1);
    assert_eq!(read(file), ["0: aa"]);
}

#[test]
fn laced_frames_have_consecutive_times() {
    // Three frames of one length, 16 samples each.
    let mut laced = block(
        1,
        0,
        &[&[2][..], &[b'a'; 32], &[b'b'; 32], &[b'c'; 32]].concat(),
    );
    laced[3] = 0x04;
    let found = read(recording(&[cluster(10, &[laced])]));
    let times: Vec<&str> = found.iter().map(|packet| &packet[..4]).collect();
    assert_eq!(times, ["10: ", "11: ", "12: "]);
}

#[test]
fn laced_vorbis_packets_have_consecutive_times() {
    let (identification, setup) = crate::demux::vorbis::tests::headers();
    let lengths = [2, identification.len() as u8, 1];
    let private = [&lengths[..], &identification, b"\x03", &setup].concat();
    let rate = element(id::SAMPLING_FREQUENCY, &16_000f32.to_be_bytes());
    let track = [
        element(id::TRACK_NUMBER, &[1]),
        element(id::TRACK_TYPE, &[2]),
        element(id::CODEC_ID, b"A_VORBIS"),
        element(id::CODEC_PRIVATE, &private),
        element(id::AUDIO, &rate),
    ];
    let laced = |at| {
        let mut block = block(1, at, &[2, 2, 2, 2]);
        block[3] = 0x04;
        block
    };
    let content = [
        tracks(&[track.concat()]),
        cluster(0, &[laced(0), laced(128)]),
    ];
    let file = [ebml(), element(id::SEGMENT, &content.concat())].concat();
    let mut reader = open_file(file);
    let mut times = Vec::new();
    while let Some(packet) = reader.next_packet().unwrap() {
        times.push(packet.pts.get());
    }
    assert_eq!(times, [0, 0, 1024, 2048, 3072, 4096]);
}

#[test]
fn trims_codec_delay_and_padding() {
    let delay = element(id::CODEC_DELAY, &1_000_000_u32.to_be_bytes());
    let padding = |samples: i32| element(id::DISCARD_PADDING, &(samples * 62_500).to_be_bytes());
    let group = |at, samples| {
        let content = [
            element(id::BLOCK, &block(1, at, &[0; 20])),
            padding(samples),
        ];
        element(id::BLOCK_GROUP, &content.concat())
    };
    let blocks = [group(0, 0), group(1, 3), group(2, -4)].concat();
    let content = [
        tracks(&[[pcm_track(1), delay].concat()]),
        element(id::CLUSTER, &blocks),
    ];
    let file = [ebml(), element(id::SEGMENT, &content.concat())].concat();

    let mut reader = open_file(file);
    let mut packets = Vec::new();
    while let Some(packet) = reader.next_packet().unwrap() {
        let trims = (packet.trim_start.get(), packet.trim_end.get());
        packets.push((packet.pts.get(), trims, packet.dur.get()));
    }
    // The 16 samples of delay are in the first two packets of 10.
    let expected = [(-16, (10, 0), 0), (0, (6, 3), 1), (16, (4, 0), 6)];
    assert_eq!(packets, expected);
}

#[test]
fn reports_the_start_of_other_tracks() {
    let video = [
        element(id::TRACK_NUMBER, &[2]),
        element(id::TRACK_TYPE, &[1]),
    ];
    let content = [
        tracks(&[video.concat(), pcm_track(1)]),
        cluster(0, &[block(2, 0, &[0; 999]), block(1, 700, b"aa")]),
    ];
    let file = [ebml(), element(id::SEGMENT, &content.concat())].concat();
    let mut reader = open_file(file);

    let first = reader.next_packet().unwrap().unwrap();
    assert_eq!(
        (first.track_id, first.pts.get(), first.data.len()),
        (2, 0, 0)
    );
    let second = reader.next_packet().unwrap().unwrap();
    assert_eq!((second.track_id, second.pts.get()), (1, 700 * 16));
    assert!(reader.next_packet().unwrap().is_none());
}

#[test]
fn finds_tracks_after_the_clusters() {
    let content = [
        cluster(0, &[block(1, 0, b"aa")]),
        cluster(1, &[block(1, 0, b"bb")]),
        tracks(&[pcm_track(1)]),
    ];
    let file = [ebml(), element(id::SEGMENT, &content.concat())].concat();
    assert_eq!(read(file), ["0: aa", "1: bb"]);
}

#[test]
fn finds_a_recording_after_tags_and_junk_but_not_in_other_containers() {
    let file = recording(&[cluster(0, &[block(1, 0, b"aa")])]);
    let id3 = b"ID3\x04\0\0\0\0\0\x03xxx";
    for head in [&b""[..], id3, b"junk in front"] {
        assert_eq!(read([head, &file].concat()), ["0: aa"]);
    }
    for file in [
        [b"OggS", &file[..]].concat(),
        b"\x1a\x45\xdf\xa3\x80".to_vec(),
        Vec::new(),
    ] {
        let attempt = open(Box::new(Cursor::new(file)));
        assert!(matches!(attempt, Ok(OpenResult::Unrecognized(_))));
    }
}
