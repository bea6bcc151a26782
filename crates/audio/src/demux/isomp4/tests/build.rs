//! Builds files byte by byte.

use std::iter;

/// Position of the content of a file's `mdat`, which comes first.
pub const CONTENT: u32 = 8;

pub fn boxed(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let size = content.len() as u32 + 8;
    [&size.to_be_bytes()[..], kind, content].concat()
}

pub fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

/// A full box: version and flags, then 32-bit words.
pub fn full(kind: &[u8; 4], flags: u32, fields: &[u32]) -> Vec<u8> {
    boxed(kind, &words(&[&[flags], fields].concat()))
}

/// A full box with a count of entries before them.
pub fn table(kind: &[u8; 4], entry_words: usize, fields: &[u32]) -> Vec<u8> {
    let count = (fields.len() / entry_words) as u32;
    full(kind, 0, &[&[count], fields].concat())
}

/// A sample description of mono audio.
pub fn entry(kind: &[u8; 4], rate_hz: u16) -> Vec<u8> {
    let rate = u32::from(rate_hz) << 16;
    boxed(kind, &words(&[0, 1, 0, 0, 0x0001_0010, 0, rate]))
}

/// A track, by default of 16-bit mono PCM at 1 kHz.
#[derive(Clone)]
pub struct TestTrack {
    pub id: u32,
    pub flags: u32,
    pub handler: &'static [u8; 4],
    pub time_scale: u32,
    /// Pairs of a duration in milliseconds and a media time.
    pub edits: Vec<(u32, i32)>,
    pub entries: Vec<Vec<u8>>,
    pub chapters: Vec<u32>,
    /// Pairs of a number of samples and their ticks.
    pub durations: Vec<u32>,
    /// Triples of a first chunk, samples per chunk and description.
    pub chunks: Vec<u32>,
    /// The size of all samples and their number; or 0, their number, and each size.
    pub sizes: Vec<u32>,
    pub offsets: Vec<u32>,
}

impl TestTrack {
    /// One chunk with this many frames of PCM at the start of the content.
    pub fn pcm(frames: u32) -> Self {
        Self {
            id: 1,
            flags: 1,
            handler: b"soun",
            time_scale: 1_000,
            edits: Vec::new(),
            entries: vec![entry(b"twos", 1_000)],
            chapters: Vec::new(),
            durations: vec![frames, 1],
            chunks: vec![1, frames, 1],
            sizes: vec![2, frames],
            offsets: vec![CONTENT],
        }
    }

    /// One chunk of AAC at the start of the content: packets of ten bytes, of 100 ms each.
    pub fn aac(packets: u32) -> Self {
        Self {
            entries: vec![entry(b"mp4a", 1_000)],
            durations: vec![packets, 100],
            chunks: vec![1, packets, 1],
            sizes: iter::once(0)
                .chain([packets])
                .chain(iter::repeat_n(10, packets as usize))
                .collect(),
            ..Self::pcm(0)
        }
    }

    /// Only a sample description, as in a fragmented file.
    pub fn fragmented() -> Self {
        Self {
            durations: Vec::new(),
            chunks: Vec::new(),
            sizes: vec![0, 0],
            offsets: Vec::new(),
            ..Self::aac(0)
        }
    }

    pub fn trak(&self) -> Vec<u8> {
        let tkhd = full(b"tkhd", self.flags, &[0, 0, self.id]);
        let references = match self.chapters.is_empty() {
            true => Vec::new(),
            false => boxed(b"tref", &boxed(b"chap", &words(&self.chapters))),
        };
        let edits: Vec<u32> = self
            .edits
            .iter()
            .flat_map(|&(duration, media_time)| [duration, media_time as u32, 0x1_0000])
            .collect();
        let edts = match edits.is_empty() {
            true => Vec::new(),
            false => boxed(b"edts", &table(b"elst", 3, &edits)),
        };
        let count = (self.entries.len() as u32).to_be_bytes();
        let stsd = boxed(
            b"stsd",
            &[&[0; 4], &count[..], &self.entries.concat()].concat(),
        );
        let stbl = [
            stsd,
            table(b"stts", 2, &self.durations),
            table(b"stsc", 3, &self.chunks),
            full(b"stsz", 0, &self.sizes),
            table(b"stco", 1, &self.offsets),
        ];
        let minf = boxed(b"minf", &boxed(b"stbl", &stbl.concat()));
        let mdhd = full(b"mdhd", 0, &[0, 0, self.time_scale, 0, 0]);
        let hdlr = boxed(b"hdlr", &[&[0; 8], &self.handler[..], &[0; 13]].concat());
        let mdia = boxed(b"mdia", &[mdhd, hdlr, minf].concat());
        boxed(b"trak", &[tkhd, references, edts, mdia].concat())
    }
}

/// A movie with a time scale of milliseconds, its tracks and other boxes.
pub fn moov(tracks: &[TestTrack], rest: &[u8]) -> Vec<u8> {
    let mvhd = full(b"mvhd", 0, &[0, 0, 1_000, 0]);
    let tracks: Vec<u8> = tracks.iter().flat_map(TestTrack::trak).collect();
    boxed(b"moov", &[mvhd, tracks, rest.to_vec()].concat())
}

/// A file of `mdat` and `moov`.
pub fn file(content: &[u8], tracks: &[TestTrack]) -> Vec<u8> {
    [boxed(b"mdat", content), moov(tracks, &[])].concat()
}

/// Consecutive byte values.
pub fn content(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|byte| byte as u8).collect()
}

/// `mvex` with the defaults of these tracks: number, description, ticks and bytes of a sample.
pub fn mvex(defaults: &[[u32; 4]]) -> Vec<u8> {
    let trex = |fields: &[u32; 4]| full(b"trex", 0, &[&fields[..], &[0]].concat());
    let trex: Vec<u8> = defaults.iter().flat_map(trex).collect();
    boxed(b"mvex", &trex)
}

/// A fragment of these track fragments.
pub fn moof(track_fragments: &[Vec<u8>]) -> Vec<u8> {
    boxed(
        b"moof",
        &[full(b"mfhd", 0, &[1]), track_fragments.concat()].concat(),
    )
}

/// A track fragment with offsets from the start of the `moof`: track, start and runs.
pub fn traf(track_id: u32, start: u32, runs: &[Vec<u8>]) -> Vec<u8> {
    const BASE_IS_MOOF: u32 = 0x2_0000;
    let tfhd = full(b"tfhd", BASE_IS_MOOF, &[track_id]);
    let tfdt = full(b"tfdt", 0, &[start]);
    boxed(b"traf", &[tfhd, tfdt, runs.concat()].concat())
}
