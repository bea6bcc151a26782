//! Reads a track: which of its samples are presented, and when.

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
use super::sample_run::{RunLimit, SampleRun};
use super::table::{SampleTables, TableCursor};

/// Maximum number of jumps back in an edit list, each of which is another pass over the tables.
const MAX_JUMPS_BACK: usize = 16;

/// Maximum number of edits. Edited recordings have a few hundred; ffmpeg takes minutes for a forged
/// million.
const MAX_EDITS: usize = 16_384;

/// The error of a track with more edits than any recording has.
pub const TOO_MANY_EDITS: &str = "its edit list is longer than that of any recording";

/// Audio decoded before the start of an edit, in milliseconds: enough for the previous packet of AAC and
/// for the bit reservoir of MP3 (511 bytes).
const PREROLL_MS: u64 = 250;

/// The same for Opus (RFC 7845, 4.6).
const OPUS_PREROLL_MS: u64 = 80;

/// Maximum bytes of a packet of joined frames.
const MAX_JOINED_BYTES: u64 = 1 << 20;

/// Properties of a movie that apply to all tracks.
#[derive(Clone, Copy, Debug)]
pub struct MovieClock {
    /// The movie's time scale.
    pub time_scale: u32,
    /// Whether samples are in fragments.
    pub is_fragmented: bool,
}

/// Samples to decode, and which of them are presented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PresentedRun {
    /// The samples.
    pub run: SampleRun,
    /// Presentation time of the first sample, including trimmed ones, in the track's ticks.
    pub start: i64,
    /// Ticks to trim from the start of the run.
    pub trim_start: u64,
    /// Ticks to trim from the end of the run.
    pub trim_end: u64,
}

/// Reads the samples of a track in presentation order.
pub struct TrackReader {
    id: u32,
    flags: TrackFlags,
    time_base: TimeBase,
    entries: Vec<SampleEntry>,
    /// Index of the current sample description.
    entry: usize,
    tables: SampleTables,
    cursor: TableCursor,
    runs: VecDeque<FragmentRun>,
    /// Media time of the next fragment, unless it states one.
    next_time: u64,
    edits: Vec<Edit>,
    edit: usize,
    preroll: u64,
    /// Presentation time that counts as 0, in ticks.
    origin: i64,
    next: Option<PresentedRun>,
    is_layer_known: bool,
}

impl TrackReader {
    /// A reader at the beginning of an audio track.
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
        reader.entry = reader.valid_entry_index(first.map_or(default, |run| run.entry));
        for entry in &mut reader.entries {
            entry.require_ticks_of_frames(ticks_per_s);
        }
        reader.preroll = (u64::from(ticks_per_s) * preroll_ms(reader.codec())).div_ceil(1_000);
        Ok(reader)
    }

    /// The track as symphonia describes it.
    pub fn describe(&self) -> Track {
        let mut track = Track::new(self.id);
        let params = self.current_entry().map(|entry| entry.params.clone());
        track
            .with_codec_params(CodecParameters::Audio(params.unwrap_or_default()))
            .with_time_base(self.time_base)
            .with_flags(self.flags);
        track
    }

    /// Track number.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// The current sample description.
    pub fn current_entry(&self) -> Option<&SampleEntry> {
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

    /// Sets the presentation time, in seconds, that counts as 0.
    pub fn set_origin(&mut self, origin_s: f64) {
        self.origin = (origin_s * f64::from(self.time_base.denom.get())).round() as i64;
    }

    /// The next samples; `None` if more fragments are needed or at the end.
    pub fn peek(&mut self) -> Option<PresentedRun> {
        if self.next.is_none() {
            self.next = self.find_next();
        }
        self.next
    }

    /// Consumes the next samples.
    pub fn take(&mut self) -> Option<PresentedRun> {
        self.peek();
        self.next.take()
    }

    /// Ends the track.
    pub fn end(&mut self) {
        self.next = None;
        self.edit = self.edits.len();
    }

    /// Switches to another sample description; returns whether it needs a new decoder.
    pub fn change_entry(&mut self, entry: usize) -> bool {
        let entry = self.valid_entry_index(entry);
        if entry == self.entry {
            return false;
        }
        let before = self.current_entry().cloned();
        self.entry = entry;
        match (before, self.current_entry()) {
            (Some(before), Some(present)) => !before.is_compatible_with(present),
            _ => false,
        }
    }

    /// The index of a sample description, or 0 if there is none with this index.
    fn valid_entry_index(&self, entry: usize) -> usize {
        if entry < self.entries.len() { entry } else { 0 }
    }

    /// Whether the layer of MPEG audio must be read from the first bytes of a sample, its only source.
    pub fn needs_layer(&self) -> bool {
        !self.is_layer_known && self.codec() == codec::CODEC_ID_MP3
    }

    /// Sets the layer from the header of a frame (ISO/IEC 11172-3, 2.4.2.3); returns whether it needs a
    /// new decoder.
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
        self.current_entry()
            .map_or_else(AudioCodecId::default, |entry| entry.params.codec)
    }

    fn find_next(&mut self) -> Option<PresentedRun> {
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
            // A run that extends beyond the edit may be presented by the next edit, too.
            if run.end() <= edit.media.end {
                self.advance(&run);
            }
            if run.end() >= edit.media.end {
                self.next_edit(&edit);
            }
            // A sample without bytes has a duration but no content.
            if run.bytes > 0 {
                return Some(self.present(run, &edit));
            }
        }
    }

    /// Maximum size of a packet: frames of PCM are joined.
    fn limit(&self) -> RunLimit {
        match self.current_entry().and_then(|entry| entry.layout) {
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
        // Samples that are decoded only for their successors come right before them.
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

    /// Skips samples that end before this media time.
    fn skip_to(&mut self, time: u64) {
        while time > 0
            && let Some(one) = self.peek_run(RunLimit::ONE_SAMPLE)
            && one.end() <= time
        {
            let run = self.peek_run(RunLimit::skip(time.saturating_sub(one.time)));
            self.advance(&run.filter(|run| run.end() <= time).unwrap_or(one));
        }
    }

    /// Moves to the next edit, restarting from the first sample if it goes back.
    fn next_edit(&mut self, current: &Edit) {
        self.edit += 1;
        let next = self.edits.get(self.edit);
        if next.is_some_and(|next| next.media.start < current.media.end) {
            self.cursor = TableCursor::default();
        }
    }

    /// At the end of the media, moves to the next edit if it goes back.
    fn jump_back(&mut self, current: &Edit) -> Option<()> {
        let next = self.edits.get(self.edit + 1)?;
        (next.media.start < current.media.end).then(|| self.next_edit(current))
    }

    /// The next samples: first those of the tables, then those of fragments.
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

/// The presented ranges of a track. Without an edit list, Opus is presented from the pre-skip on.
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
