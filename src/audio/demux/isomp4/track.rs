//! A track being read: which of its samples are presented, and when.

use std::collections::VecDeque;

use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::audio::AudioCodecId;
use symphonia::core::codecs::audio::well_known as codec;
use symphonia::core::errors::{Error, Result};
use symphonia::core::formats::{Track, TrackFlags};
use symphonia::core::units::TimeBase;

use super::edits::{self, Edit, TimeScales};
use super::entry::{MAX_JOINED_FRAMES, SampleEntry};
use super::fragment::TrackFragment;
use super::fragment_run::FragmentRun;
use super::movie::MovieTrack;
use super::sample_run::{SampleRun, RunLimit};
use super::table::{SampleTables, TableCursor};

/// An edit list that goes back more often than this is refused: each time is a pass over the tables.
const MAX_JUMPS_BACK: usize = 16;

/// Edited recordings have a few hundred edits. ffmpeg takes minutes for a forged million.
const MAX_EDITS: usize = 16_384;

/// The error of a track with more edits than any recording has.
pub const TOO_MANY_EDITS: &str = "its edit list is longer than that of any recording";

/// How long before the start of an edit decoding starts, in milliseconds: AAC needs the packet
/// before, MP3 what its bit reservoir may reach back to (511 bytes), which is less than this for both.
const PREROLL_MS: u64 = 250;

/// The same for Opus (RFC 7845, 4.6).
const OPUS_PREROLL_MS: u64 = 80;

/// The most bytes that frames are joined to.
const MAX_JOINED_BYTES: u64 = 1 << 20;

/// What a movie says about all of its tracks.
#[derive(Clone, Copy, Debug)]
pub struct MovieClock {
    /// The movie's time scale.
    pub time_scale: u32,
    /// Whether samples are in fragments.
    pub is_fragmented: bool,
}

/// Samples to be decoded, and what of them is presented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PresentedRun {
    /// The samples.
    pub run: SampleRun,
    /// When the first is due in the presentation, in the track's ticks. What is trimmed counts.
    pub start: i64,
    /// Ticks of the run in front of what is presented.
    pub trim_start: u64,
    /// Ticks of the run behind what is presented.
    pub trim_end: u64,
}

/// A track that gives its samples in the order of the presentation.
pub struct TrackReader {
    id: u32,
    flags: TrackFlags,
    time_base: TimeBase,
    entries: Vec<SampleEntry>,
    /// The sample description of the samples given last.
    entry: usize,
    tables: SampleTables,
    cursor: TableCursor,
    runs: VecDeque<FragmentRun>,
    /// When the samples of the next fragment are due, unless it says so.
    next_time: u64,
    edits: Vec<Edit>,
    edit: usize,
    preroll: u64,
    /// Ticks of the presentation that are its start.
    origin: i64,
    next: Option<PresentedRun>,
    is_layer_known: bool,
}

impl TrackReader {
    /// Reads an audio track from its beginning.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for an edit list that would need too many passes, [`Error::LimitError`]
    /// with [`TOO_MANY_EDITS`] for one that is forged.
    pub fn new(track: MovieTrack, clock: MovieClock, flags: TrackFlags) -> Result<Self> {
        if track.edits.len() > MAX_EDITS {
            return Err(Error::LimitError(TOO_MANY_EDITS));
        }
        let edits = edits_of(&track, clock);
        let jumps_back = edits::jumps_back(&edits);
        if jumps_back > MAX_JUMPS_BACK || (clock.is_fragmented && jumps_back > 0) {
            return Err(Error::Unsupported(
                "MP4 with an edit list that keeps going back",
            ));
        }
        let ticks_per_s = track.time_scale.get();
        let mut reader = Self {
            id: track.id,
            flags,
            time_base: TimeBase::from_recip(track.time_scale),
            entries: track.entries,
            entry: 0,
            tables: track.tables,
            cursor: TableCursor::default(),
            runs: VecDeque::new(),
            next_time: 0,
            edits,
            edit: 0,
            preroll: 0,
            origin: 0,
            next: None,
            is_layer_known: false,
        };
        let first = reader.peek_run(RunLimit::ONE_SAMPLE);
        let default = track.defaults.description.saturating_sub(1) as usize;
        reader.entry = reader.known(first.map_or(default, |run| run.entry));
        for entry in &mut reader.entries {
            entry.require_ticks_of_frames(ticks_per_s);
        }
        reader.preroll = (u64::from(ticks_per_s) * preroll_ms(reader.codec())).div_ceil(1_000);
        Ok(reader)
    }

    /// The track as symphonia describes it.
    pub fn describe(&self) -> Track {
        let mut track = Track::new(self.id);
        let params = self.present_entry().map(|entry| entry.params.clone());
        track
            .with_codec_params(CodecParameters::Audio(params.unwrap_or_default()))
            .with_time_base(self.time_base)
            .with_flags(self.flags);
        track
    }

    /// Its number.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// The sample description of the samples that were given last.
    pub fn present_entry(&self) -> Option<&SampleEntry> {
        self.entries.get(self.entry)
    }

    /// Adds the samples of a fragment.
    pub fn push_fragment(&mut self, fragment: TrackFragment) {
        let mut time = fragment.decode_time.unwrap_or(self.next_time);
        for mut run in fragment.runs {
            let (ticks, _) = run.totals();
            run.start_at(time);
            time = time.saturating_add(ticks);
            if !run.is_empty() {
                self.runs.push_back(run);
            }
        }
        self.next_time = time;
    }

    /// Says which time of the presentation, in seconds, counts as 0.
    pub fn set_origin(&mut self, origin_s: f64) {
        self.origin = (origin_s * f64::from(self.time_base.denom.get())).round() as i64;
    }

    /// What comes next; none where more fragments are needed, or nothing is left.
    pub fn peek(&mut self) -> Option<PresentedRun> {
        if self.next.is_none() {
            self.next = self.find();
        }
        self.next
    }

    /// Takes what comes next.
    pub fn take(&mut self) -> Option<PresentedRun> {
        self.peek();
        self.next.take()
    }

    /// Gives no more.
    pub fn end(&mut self) {
        self.next = None;
        self.edit = self.edits.len();
    }

    /// Goes over to another sample description; says whether it needs another decoder.
    pub fn change_entry(&mut self, entry: usize) -> bool {
        let entry = self.known(entry);
        if entry == self.entry {
            return false;
        }
        let before = self.present_entry().cloned();
        self.entry = entry;
        match (before, self.present_entry()) {
            (Some(before), Some(present)) => !before.is_like(present),
            _ => false,
        }
    }

    /// A sample description that there is: a number that is not is taken for the first one.
    fn known(&self, entry: usize) -> usize {
        if entry < self.entries.len() { entry } else { 0 }
    }

    /// Whether the first bytes of a sample tell the layer of MPEG audio, which nothing else does.
    pub fn needs_layer(&self) -> bool {
        !self.is_layer_known && self.codec() == codec::CODEC_ID_MP3
    }

    /// Takes the layer from the header of a frame (ISO/IEC 11172-3, 2.4.2.3); says whether it needs
    /// another decoder.
    pub fn set_layer(&mut self, header: [u8; 2]) -> bool {
        self.is_layer_known = true;
        // Eleven bits of sync, two of the version, two of the layer.
        let layer = match header {
            [0xff, second] if second & 0xe6 == 0xe6 => codec::CODEC_ID_MP1,
            [0xff, second] if second & 0xe6 == 0xe4 => codec::CODEC_ID_MP2,
            _ => return false,
        };
        if let Some(entry) = self.entries.get_mut(self.entry) {
            entry.params.codec = layer;
        }
        true
    }

    fn codec(&self) -> AudioCodecId {
        self.present_entry()
            .map_or_else(AudioCodecId::default, |entry| entry.params.codec)
    }

    fn find(&mut self) -> Option<PresentedRun> {
        loop {
            let edit = self.edits.get(self.edit)?.clone();
            self.skip_to(edit.media.start.saturating_sub(self.preroll));
            let Some(run) = self.peek_run(self.limit()) else {
                self.jump_back(&edit)?;
                continue;
            };
            if run.time >= edit.media.end {
                self.next_edit(&edit);
                continue;
            }
            // What goes on behind the edit may be presented by the next one too.
            if run.end() <= edit.media.end {
                self.advance(&run);
            }
            if run.end() >= edit.media.end {
                self.next_edit(&edit);
            }
            // A sample without bytes takes time and holds nothing.
            if run.bytes > 0 {
                return Some(self.present(run, &edit));
            }
        }
    }

    /// How many samples make a packet: frames of PCM are joined.
    fn limit(&self) -> RunLimit {
        match self.present_entry().and_then(|entry| entry.layout) {
            Some(_) => RunLimit {
                ticks: u64::from(MAX_JOINED_FRAMES),
                bytes: MAX_JOINED_BYTES,
            },
            None => RunLimit::ONE_SAMPLE,
        }
    }

    fn present(&self, run: SampleRun, edit: &Edit) -> PresentedRun {
        let ticks = run.ticks();
        let trim_start = edit.media.start.saturating_sub(run.time).min(ticks);
        let trim_end = run.end().saturating_sub(edit.media.end);
        // What is decoded for its successors alone stands right in front of them.
        let shown_from = run.time.max(edit.media.start) - edit.media.start;
        PresentedRun {
            run,
            start: edit
                .presentation
                .saturating_add_unsigned(shown_from)
                .saturating_sub_unsigned(trim_start)
                .saturating_sub(self.origin),
            trim_start,
            trim_end: trim_end.min(ticks - trim_start),
        }
    }

    /// Passes over samples that end before this media time.
    fn skip_to(&mut self, time: u64) {
        while time > 0
            && let Some(one) = self.peek_run(RunLimit::ONE_SAMPLE)
            && one.end() <= time
        {
            let run = self.peek_run(RunLimit::skip(time.saturating_sub(one.time)));
            self.advance(&run.filter(|run| run.end() <= time).unwrap_or(one));
        }
    }

    /// Goes on with the next edit, once more from the first sample where it goes back.
    fn next_edit(&mut self, present: &Edit) {
        self.edit += 1;
        let next = self.edits.get(self.edit);
        if next.is_some_and(|next| next.media.start < present.media.end) {
            self.cursor = TableCursor::default();
        }
    }

    /// Goes on with the next edit behind the end of the media, if it goes back.
    fn jump_back(&mut self, present: &Edit) -> Option<()> {
        let next = self.edits.get(self.edit + 1)?;
        (next.media.start < present.media.end).then(|| self.next_edit(present))
    }

    /// The next samples: those of the tables come before those of fragments.
    fn peek_run(&mut self, limit: RunLimit) -> Option<SampleRun> {
        let run = self.cursor.peek(&self.tables, &self.entries, limit);
        run.or_else(|| self.runs.front()?.peek(limit))
    }

    fn advance(&mut self, run: &SampleRun) {
        if !self.cursor.is_at_end(&self.tables) {
            self.cursor.advance(run);
        } else if let Some(fragment) = self.runs.front_mut() {
            fragment.advance(run);
            if fragment.is_empty() {
                self.runs.pop_front();
            }
        }
    }
}

/// What a track presents. Opus without an edit list presents what follows the pre-skip.
pub fn edits_of(track: &MovieTrack, clock: MovieClock) -> Vec<Edit> {
    const OPUS_RATE_HZ: u64 = 48_000;
    let ticks_per_s = track.time_scale.get();
    if track.edits.is_empty() {
        let pre_skip = track
            .entries
            .first()
            .map_or(0, |entry| entry.pre_skip_frames);
        return edits::all_from(u64::from(pre_skip) * u64::from(ticks_per_s) / OPUS_RATE_HZ);
    }
    let scales = TimeScales {
        movie: clock.time_scale,
        track: ticks_per_s,
    };
    edits::edits(&track.edits, scales, clock.is_fragmented)
}

fn preroll_ms(codec: AudioCodecId) -> u64 {
    match codec {
        codec::CODEC_ID_AAC | codec::CODEC_ID_MP3 => PREROLL_MS,
        codec::CODEC_ID_OPUS => OPUS_PREROLL_MS,
        _ => 0,
    }
}
