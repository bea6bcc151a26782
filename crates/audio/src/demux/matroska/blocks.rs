//! Turns blocks into packets (RFC 9559, 5.1.3 and 10).

use std::collections::VecDeque;

use symphonia::core::packet::Packet;
use symphonia::core::units::{Duration, Timestamp};

use super::block::Block;
use super::codec;
use super::ebml::{child, id, signed, unsigned, variable_size};
use super::tracks::TrackEntry;
use crate::demux::vorbis;

/// Default length of a tick, in nanoseconds (RFC 9559, 5.1.2.9).
pub const DEFAULT_TIMESTAMP_SCALE_NS: u64 = 1_000_000;

/// Maximum decompressed size of the frames of a block. Uncompressed blocks are smaller, too.
const MAX_BLOCK_BYTES: usize = 64 << 20;

const NS_PER_S: i128 = 1_000_000_000;

/// Converts blocks to packets: the recording's clock, and the progress of its tracks.
pub struct Blocks {
    /// Length of a tick.
    pub timestamp_scale_ns: u64,
    /// Time stamp of the current cluster, in ticks.
    pub cluster_timestamp: u64,
    /// The tracks with at least one packet.
    progress: Vec<TrackProgress>,
    /// Relative time stamp of the last block in the current cluster, in ticks.
    last_relative: Option<i16>,
    /// Time stamp of the last block.
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

/// Progress of a track, in samples.
struct TrackProgress {
    id: u32,
    /// Samples still to be trimmed from the start.
    delay_left: u64,
    /// End of the last packet.
    end: i64,
    vorbis: Option<vorbis::PacketLengths>,
    /// Whether damage follows the last packet.
    is_damaged: bool,
}

/// Fields of a `BlockGroup` besides its block.
#[derive(Clone, Copy, Default)]
struct BlockGroupFields {
    duration_ns: Option<i128>,
    /// Padding to discard: at the end if positive, at the start if negative.
    discard_ns: i128,
}

impl Blocks {
    /// Starts a new recording, whose first packets are trimmed again.
    pub fn restart(&mut self) {
        self.progress.clear();
    }

    /// Starts a cluster.
    pub fn begin_cluster(&mut self) {
        self.last_relative = None;
    }

    /// Records that a part of the file was skipped: a gap before the next packets is damage.
    pub fn note_damage(&mut self) {
        for progress in &mut self.progress {
            progress.is_damaged = true;
        }
    }

    /// What identifies further blocks of the current cluster.
    pub fn expected(&self, entries: &[TrackEntry]) -> ExpectedBlocks {
        ExpectedBlocks {
            tracks: entries.iter().map(|entry| entry.track.id.into()).collect(),
            from: self.last_relative,
        }
    }

    /// Whether the current cluster starts well before the last block, by more than tracks are offset.
    pub fn has_jumped_back(&self) -> bool {
        let cluster_ns = self.nanoseconds(self.cluster_timestamp.into());
        cluster_ns.saturating_add(NS_PER_S / 2) < self.last_ns
    }

    /// Adds the packets of a `SimpleBlock`, given its content.
    pub fn add_simple_block(
        &mut self,
        entries: &[TrackEntry],
        content: &[u8],
        packets: &mut VecDeque<Packet>,
    ) {
        if let Some(block) = Block::parse(content) {
            self.add_block(entries, &block, BlockGroupFields::default(), packets);
        }
    }

    /// Adds the packets of a `BlockGroup`, given its content.
    pub fn add_block_group(
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
            self.add_block(entries, &block, group, packets);
        }
    }

    fn add_block(
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
            // Of other tracks, only the start matters.
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
            // An empty packet represents damage.
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
    /// Samples of the codec delay to trim from a packet of `length` samples.
    fn trim_start(&mut self, length: u64) -> u64 {
        // A packet of unknown length is trimmed by the whole delay.
        let trim = if length == 0 {
            self.delay_left
        } else {
            self.delay_left.min(length)
        };
        self.delay_left -= trim;
        trim
    }
}

/// Criteria for a block within the current cluster.
pub struct ExpectedBlocks {
    /// Track numbers.
    pub tracks: Vec<u64>,
    /// Relative time stamp of the cluster's last block, in ticks. `None` before its first block, where no
    /// block is accepted.
    pub from: Option<i16>,
}

impl ExpectedBlocks {
    /// Whether `content` may be the beginning of such a block.
    pub fn matches(&self, content: &[u8]) -> bool {
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

/// Converts nanoseconds to samples, rounded to the nearest.
fn samples(ns: i128, rate_hz: u32) -> i64 {
    let samples = ns.saturating_mul(rate_hz.into());
    let rounded = samples.saturating_add(NS_PER_S / 2).div_euclid(NS_PER_S);
    i64::try_from(rounded).unwrap_or(if rounded < 0 { i64::MIN } else { i64::MAX })
}
