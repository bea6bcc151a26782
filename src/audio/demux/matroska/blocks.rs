//! Turns blocks into packets (RFC 9559, 5.1.3 and 10).

use std::collections::VecDeque;

use symphonia::core::packet::Packet;
use symphonia::core::units::{Duration, Timestamp};

use super::block::Block;
use super::codec;
use super::ebml::{child, id, signed, unsigned};
use super::tracks::TrackEntry;

/// RFC 9559, 5.1.2.9.
pub const DEFAULT_TIMESTAMP_SCALE_NS: u64 = 1_000_000;

const NS_PER_S: i128 = 1_000_000_000;

/// The clock of a recording, and what is left to trim at its start.
pub struct Blocks {
    /// The length of a tick.
    pub timestamp_scale_ns: u64,
    /// Of the cluster at hand, in ticks.
    pub cluster_timestamp: u64,
    /// The tracks that have had packets, and the samples of each that are still to be trimmed.
    started: Vec<(u32, u64)>,
    /// Of the last block.
    last_ns: i128,
}

impl Default for Blocks {
    fn default() -> Self {
        Self {
            timestamp_scale_ns: DEFAULT_TIMESTAMP_SCALE_NS,
            cluster_timestamp: 0,
            started: Vec::new(),
            last_ns: i128::MIN,
        }
    }
}

/// What a group says about its block.
#[derive(Clone, Copy, Default)]
struct Group {
    duration_ns: Option<i128>,
    /// Positive at the end, negative at the start.
    discard_ns: i128,
}

impl Blocks {
    /// Trims the start of the next packets again, which are a recording's first.
    pub fn restart(&mut self) {
        self.started.clear();
    }

    /// Whether the cluster at hand begins before the last block, by more than tracks lie apart.
    pub fn has_jumped_back(&self) -> bool {
        let cluster_ns = i128::from(self.cluster_timestamp) * i128::from(self.timestamp_scale_ns);
        cluster_ns + NS_PER_S / 2 < self.last_ns
    }

    /// Takes the content of a `SimpleBlock`.
    pub fn take_simple(
        &mut self,
        entries: &[TrackEntry],
        content: &[u8],
        packets: &mut VecDeque<Packet>,
    ) {
        if let Some(block) = Block::parse(content) {
            self.take(entries, &block, Group::default(), packets);
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
        let group = Group {
            duration_ns: ticks.map(|ticks| i128::from(ticks) * i128::from(self.timestamp_scale_ns)),
            discard_ns: child(content, id::DISCARD_PADDING).map_or(0, |padding| signed(padding).into()),
        };
        if let Some(block) = child(content, id::BLOCK).and_then(Block::parse) {
            self.take(entries, &block, group, packets);
        }
    }

    fn take(
        &mut self,
        entries: &[TrackEntry],
        block: &Block<'_>,
        group: Group,
        packets: &mut VecDeque<Packet>,
    ) {
        let Some(entry) = entries
            .iter()
            .find(|entry| u64::from(entry.track.id) == block.track)
        else {
            return;
        };
        let ticks = i128::from(self.cluster_timestamp) + i128::from(block.relative_timestamp);
        let start_ns = ticks * i128::from(self.timestamp_scale_ns);
        self.last_ns = start_ns;
        let start_ns = start_ns - i128::from(entry.codec_delay_ns);
        let mut pts = samples(start_ns, entry.rate_hz);
        let Some(params) = &entry.audio else {
            // When other tracks begin matters, not what is in them.
            packets.push_back(packet(entry, pts, 0, Vec::new()));
            return;
        };
        let frames = block.frames.len();
        let stated = group
            .duration_ns
            .or(entry.default_duration_ns.map(|ns| i128::from(ns) * frames as i128))
            .map(|ns| samples(ns, entry.rate_hz).cast_unsigned() / frames as u64);
        let discard = samples(group.discard_ns, entry.rate_hz);
        for (index, stored) in block.frames.iter().enumerate() {
            // What cannot be undone is a damaged packet, as the decoder finds.
            let frame = entry.encodings.frame(stored).unwrap_or_default();
            let length = codec::frame_samples(params, &frame).or(stated).unwrap_or(0);
            let mut packet = packet(entry, pts, length, frame);
            let mut trim_start = self.trim_start(entry, length);
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
        }
    }

    /// The samples of the codec's delay that lie in a track's next packet.
    fn trim_start(&mut self, entry: &TrackEntry, length: u64) -> u64 {
        let id = entry.track.id;
        let index = self.started.iter().position(|(started, _)| *started == id);
        let index = index.unwrap_or_else(|| {
            self.started.push((id, entry.delay_samples));
            self.started.len() - 1
        });
        let left = &mut self.started[index].1;
        // Of an unknown length, it is as long as any.
        let trim = if length == 0 { *left } else { (*left).min(length) };
        *left -= trim;
        trim
    }
}

fn packet(entry: &TrackEntry, pts: i64, length: u64, frame: Vec<u8>) -> Packet {
    Packet::new(entry.track.id, Timestamp::new(pts), Duration::new(length), frame)
}

/// Nanoseconds in samples, to the nearest.
fn samples(ns: i128, rate_hz: u32) -> i64 {
    let samples = ns.saturating_mul(rate_hz.into());
    let rounded = samples.saturating_add(NS_PER_S / 2).div_euclid(NS_PER_S);
    i64::try_from(rounded).unwrap_or(if rounded < 0 { i64::MIN } else { i64::MAX })
}
