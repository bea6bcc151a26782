//! Turns blocks into packets (RFC 9559, 5.1.3 and 10).

use std::collections::VecDeque;

use symphonia::core::packet::Packet;
use symphonia::core::units::{Duration, Timestamp};

use super::block::Block;
use super::codec;
use super::ebml::{child, id, signed, unsigned, variable_size};
use super::tracks::TrackEntry;
use crate::audio::demux::vorbis;

/// RFC 9559, 5.1.2.9.
pub const DEFAULT_TIMESTAMP_SCALE_NS: u64 = 1_000_000;

/// What the frames of one block may become together. A block that is not compressed is smaller, too.
const MAX_BLOCK_BYTES: usize = 64 << 20;

const NS_PER_S: i128 = 1_000_000_000;

/// The clock of a recording, and what is left to trim at its start.
pub struct Blocks {
    /// The length of a tick.
    pub timestamp_scale_ns: u64,
    /// Of the cluster at hand, in ticks.
    pub cluster_timestamp: u64,
    /// The tracks that have had packets.
    progress: Vec<TrackProgress>,
    /// Of the last block in the cluster at hand, in ticks.
    last_relative: Option<i16>,
    /// Of the last block.
    last_ns: i128,
}

impl Default for Blocks {
    fn default() -> Self {
        Self {
            timestamp_scale_ns: DEFAULT_TIMESTAMP_SCALE_NS,
            cluster_timestamp: 0,
            progress: Vec::new(),
            last_relative: None,
            last_ns: i128::MIN,
        }
    }
}

/// How far a track has come; samples.
struct TrackProgress {
    id: u32,
    /// What is still to be trimmed from the front.
    delay_left: u64,
    /// Where the last packet ends.
    end: i64,
    vorbis: Option<vorbis::PacketLengths>,
    /// Whether damage lies behind it.
    is_damaged: bool,
}

/// What a group says about its block.
#[derive(Clone, Copy, Default)]
struct BlockGroupFields {
    duration_ns: Option<i128>,
    /// Positive at the end, negative at the start.
    discard_ns: i128,
}

impl Blocks {
    /// Trims the start of the next packets again, which are a recording's first.
    pub fn restart(&mut self) {
        self.progress.clear();
    }

    /// Goes on with a cluster.
    pub fn begin_cluster(&mut self) {
        self.last_relative = None;
    }

    /// Notes that a part of the file was stepped over: what the next packets show to be missing is
    /// damaged.
    pub fn note_damage(&mut self) {
        for progress in &mut self.progress {
            progress.is_damaged = true;
        }
    }

    /// What blocks of the cluster at hand look like.
    pub fn expected(&self, entries: &[TrackEntry]) -> ExpectedBlocks {
        ExpectedBlocks {
            tracks: entries.iter().map(|entry| entry.track.id.into()).collect(),
            from: self.last_relative,
        }
    }

    /// Whether the cluster at hand begins before the last block, by more than tracks lie apart.
    pub fn has_jumped_back(&self) -> bool {
        let cluster_ns = self.nanoseconds(self.cluster_timestamp.into());
        cluster_ns.saturating_add(NS_PER_S / 2) < self.last_ns
    }

    /// Takes the content of a `SimpleBlock`.
    pub fn take_simple(
        &mut self,
        entries: &[TrackEntry],
        content: &[u8],
        packets: &mut VecDeque<Packet>,
    ) {
        if let Some(block) = Block::parse(content) {
            self.take(entries, &block, BlockGroupFields::default(), packets);
        }
    }

    /// Takes the content of a `BlockGroup`.
    pub fn take_group(
        &mut self,
        entries: &[TrackEntry],
        content: &[u8],
        packets: &mut VecDeque<Packet>,
    ) {
        let ticks = child(content, id::BLOCK_DURATION).map(unsigned);
        let group = BlockGroupFields {
            duration_ns: ticks.map(|ticks| self.nanoseconds(ticks.into())),
            discard_ns: child(content, id::DISCARD_PADDING)
                .map_or(0, |padding| signed(padding).into()),
        };
        if let Some(block) = child(content, id::BLOCK).and_then(Block::parse) {
            self.take(entries, &block, group, packets);
        }
    }

    fn take(
        &mut self,
        entries: &[TrackEntry],
        block: &Block<'_>,
        group: BlockGroupFields,
        packets: &mut VecDeque<Packet>,
    ) {
        let Some(entry) = entries
            .iter()
            .find(|entry| u64::from(entry.track.id) == block.track)
        else {
            return;
        };
        let ticks = i128::from(self.cluster_timestamp) + i128::from(block.relative_timestamp);
        let start_ns = self.nanoseconds(ticks);
        self.last_ns = start_ns;
        self.last_relative = Some(block.relative_timestamp);
        let start_ns = start_ns.saturating_sub(entry.codec_delay_ns.into());
        let mut pts = samples(start_ns, entry.rate_hz);
        let Some(params) = &entry.audio else {
            // When other tracks begin matters, not what is in them.
            packets.push_back(packet(entry, pts, 0, Vec::new()));
            return;
        };
        let frames = block.frames.len();
        let stated = group
            .duration_ns
            .or(entry
                .default_duration_ns
                .map(|ns| i128::from(ns) * frames as i128))
            .map(|ns| samples(ns, entry.rate_hz).cast_unsigned() / frames as u64);
        let discard = samples(group.discard_ns, entry.rate_hz);
        let progress = self.progress(entry);
        let lost = pts.saturating_sub(progress.end);
        // Time stamps are rounded.
        if std::mem::take(&mut progress.is_damaged) && lost > i64::from(entry.rate_hz / 100) {
            packets.push_back(packet(entry, progress.end, lost.unsigned_abs(), Vec::new()));
        }
        let mut bytes_left = MAX_BLOCK_BYTES;
        for (index, stored) in block.frames.iter().enumerate() {
            // An empty packet is a damaged one.
            let frame = entry.encodings.frame(stored).unwrap_or_default();
            let is_within = frame.len() <= bytes_left;
            let frame = if is_within { frame } else { Vec::new() };
            bytes_left -= frame.len();
            let length = match &mut progress.vorbis {
                Some(lengths) => Some(lengths.next(&frame)),
                None => codec::frame_samples(params, &frame),
            };
            let length = length.or(stated).unwrap_or(0);
            let mut packet = packet(entry, pts, length, frame);
            let mut trim_start = progress.trim_start(length);
            if index == 0 && discard < 0 {
                trim_start = trim_start.max(discard.unsigned_abs());
            }
            packet.trim_start = Duration::new(trim_start);
            if index + 1 == frames && discard > 0 {
                packet.trim_end = Duration::new(discard.unsigned_abs());
            }
            packet.dur = packet.dur.saturating_sub(packet.trim_start);
            packet.dur = packet.dur.saturating_sub(packet.trim_end);
            packets.push_back(packet);
            pts = pts.saturating_add_unsigned(length);
            progress.end = pts;
        }
    }

    fn nanoseconds(&self, ticks: i128) -> i128 {
        ticks.saturating_mul(self.timestamp_scale_ns.into())
    }

    fn progress(&mut self, entry: &TrackEntry) -> &mut TrackProgress {
        let id = entry.track.id;
        let index = self.progress.iter().position(|progress| progress.id == id);
        let index = index.unwrap_or_else(|| {
            self.progress.push(TrackProgress {
                id,
                delay_left: entry.delay_samples,
                end: i64::MAX,
                vorbis: entry.vorbis.clone(),
                is_damaged: false,
            });
            self.progress.len() - 1
        });
        &mut self.progress[index]
    }
}

impl TrackProgress {
    /// The samples of the codec's delay that lie in the next packet.
    fn trim_start(&mut self, length: u64) -> u64 {
        // Of an unknown length, it is as long as any.
        let trim = if length == 0 {
            self.delay_left
        } else {
            self.delay_left.min(length)
        };
        self.delay_left -= trim;
        trim
    }
}

/// What a block within a cluster looks like.
pub struct ExpectedBlocks {
    /// The numbers of the tracks.
    pub tracks: Vec<u64>,
    /// The time stamp of the last one, in ticks; those of another cluster begin anew. None in front of
    /// a cluster's first block, where any could follow.
    pub from: Option<i16>,
}

impl ExpectedBlocks {
    /// Whether a block may begin with this content.
    pub fn may_be(&self, content: &[u8]) -> bool {
        const RESERVED: u8 = 0x70;
        let Some((track, length)) = variable_size(content) else {
            return false;
        };
        let Some(&[high, low, flags]) = content.get(length..).and_then(<[u8]>::first_chunk) else {
            return false;
        };
        let relative = i16::from_be_bytes([high, low]);
        self.tracks.contains(&track)
            && flags & RESERVED == 0
            && self.from.is_some_and(|from| relative >= from)
    }
}

fn packet(entry: &TrackEntry, pts: i64, length: u64, frame: Vec<u8>) -> Packet {
    Packet::new(
        entry.track.id,
        Timestamp::new(pts),
        Duration::new(length),
        frame,
    )
}

/// Nanoseconds in samples, to the nearest.
fn samples(ns: i128, rate_hz: u32) -> i64 {
    let samples = ns.saturating_mul(rate_hz.into());
    let rounded = samples.saturating_add(NS_PER_S / 2).div_euclid(NS_PER_S);
    i64::try_from(rounded).unwrap_or(if rounded < 0 { i64::MIN } else { i64::MAX })
}
