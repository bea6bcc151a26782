//! Which local speakers of all windows are the same person.

use std::num::NonZeroUsize;

use super::SpeakerCount;
use super::embedding::{DIMENSIONS, VoiceVector, dot, normalised};
use super::linkage::{Distances, Merge, labels, merges};
use super::segmentation::LOCAL_SPEAKERS;
use super::window::{LocalSpeakers, Piece};

/// Clusters are merged up to this cosine distance. Lower values split voices; at 0.7, the two voices of the
/// AMI sample in docs/speakers.md are one.
pub const MERGE_DISTANCE: f32 = 0.6;

/// The speaker of each local speaker of a window.
pub type Locals = [Option<usize>; LOCAL_SPEAKERS];

/// The speakers of a window.
#[derive(Clone, Debug, PartialEq)]
pub struct Assignment {
    /// That of each local speaker.
    pub locals: Locals,
    /// That of each piece of speech: usually its local speaker's, but the segmentation may have taken
    /// another voice for it.
    pub pieces: Vec<usize>,
}

/// Speakers of a recording.
pub struct Clusters {
    /// The voice of each speaker.
    pub voices: Vec<VoiceVector>,
    /// For each window.
    pub assignments: Vec<Assignment>,
}

/// A vector, and what it stands for.
struct Item {
    vector: VoiceVector,
    /// Number of vectors.
    size: f32,
    /// The first and the last window that they are from.
    windows: [usize; 2],
}

/// Finds the speakers of a recording. At most `most` vectors, two or more, are clustered at once; more are
/// clustered in blocks, and then the clusters of the blocks.
pub fn cluster(windows: &[LocalSpeakers], most: usize, count: SpeakerCount) -> Clusters {
    let mut items = items(windows);
    while items.len() > most {
        items = in_blocks(&items, most);
    }
    let mut found = centroids(&items, count);
    drop(items);
    remove_unconfirmed(&mut found, windows.len(), count.min);
    let voices: Vec<VoiceVector> = found.into_iter().map(|item| item.vector).collect();
    let assignments = windows
        .iter()
        .map(|window| assign(window, &voices))
        .collect();
    Clusters {
        voices,
        assignments,
    }
}

/// Clusters equal blocks of at most `most` of the items, each into at most half of this number, so that fewer
/// are left.
fn in_blocks(items: &[Item], most: usize) -> Vec<Item> {
    let count = SpeakerCount {
        min: 0,
        max: NonZeroUsize::new(most / 2),
    };
    let blocks = items.len().div_ceil(most);
    let blocks = items.chunks(items.len().div_ceil(blocks));
    blocks.flat_map(|block| centroids(block, count)).collect()
}

/// Memory of clustering this many vectors, at most `most` at once, in bytes.
pub const fn bytes_of(vectors: usize, most: usize) -> usize {
    let at_once = if vectors < most { vectors } else { most };
    // The items, and their clusters in a vector that has doubled its length.
    let items = 2 * vectors * size_of::<Item>();
    let merges = at_once * (size_of::<Merge>() + size_of::<Item>() + 64);
    items + merges + Distances::bytes_of(at_once)
}

/// The vectors of all pieces, or if there are none, of all local speakers.
fn items(windows: &[LocalSpeakers]) -> Vec<Item> {
    let item = |window: usize, vector: &VoiceVector| Item {
        vector: *vector,
        size: 1.0,
        windows: [window; 2],
    };
    let pieces = windows.iter().map(|window| window.pieces.len()).sum();
    let mut items = Vec::with_capacity(pieces);
    for (index, window) in windows.iter().enumerate() {
        items.extend(window.pieces.iter().map(|piece| item(index, &piece.vector)));
    }
    if items.is_empty() {
        for (index, window) in windows.iter().enumerate() {
            let voices = window.voices.iter().flatten();
            items.extend(voices.map(|voice| item(index, &voice.vector)));
        }
    }
    items
}

/// Removes clusters from a single window, except the first and the last: two windows contain every other
/// piece of speech, so that a voice that only one of them has is mostly a mixture. Leaves the minimum
/// number, and one.
fn remove_unconfirmed(clusters: &mut Vec<Item>, windows: usize, min: usize) {
    let mut excess = clusters.len().saturating_sub(min.max(1));
    clusters.retain(|cluster| {
        let [first, last] = cluster.windows;
        let is_confirmed = first != last || first == 0 || last + 1 == windows;
        if is_confirmed || excess == 0 {
            return true;
        }
        excess -= 1;
        false
    });
}

/// Clusters the items; each result has the mean direction of its vectors.
fn centroids(items: &[Item], count: SpeakerCount) -> Vec<Item> {
    let distances = Distances::new(items.len(), |a, b| {
        1.0 - dot(&items[a].vector, &items[b].vector)
    });
    let merges = merges(distances, items.iter().map(|item| item.size).collect());
    let labels = labels(
        items.len(),
        &merges[..merge_count(items.len(), &merges, count)],
    );
    let clusters = labels.iter().max().map_or(0, |last| last + 1);
    let empty = || Item {
        vector: [0.0; DIMENSIONS],
        size: 0.0,
        windows: [usize::MAX, 0],
    };
    let mut found: Vec<Item> = std::iter::repeat_with(empty).take(clusters).collect();
    for (item, label) in items.iter().zip(labels) {
        let cluster = &mut found[label];
        for (sum, value) in cluster.vector.iter_mut().zip(&item.vector) {
            *sum += value * item.size;
        }
        cluster.size += item.size;
        let [first, last] = cluster.windows;
        cluster.windows = [first.min(item.windows[0]), last.max(item.windows[1])];
    }
    for cluster in &mut found {
        cluster.vector = normalised(&cluster.vector);
    }
    found
}

/// How many of the merges are done: all up to the distance, unless that leaves too many or too few
/// clusters.
fn merge_count(items: usize, merges: &[Merge], count: SpeakerCount) -> usize {
    let near = merges.partition_point(|merge| merge.distance <= MERGE_DISTANCE);
    let clusters = (items - near).max(count.min.min(items));
    let clusters = count.max.map_or(clusters, |max| clusters.min(max.get()));
    (items - clusters).min(merges.len())
}

/// Assigns the local speakers, and each piece to the nearest speaker.
fn assign(window: &LocalSpeakers, voices: &[VoiceVector]) -> Assignment {
    let nearest = |piece: &Piece| {
        let cosines = voices.iter().map(|voice| dot(&piece.vector, voice));
        let nearest = cosines.enumerate().max_by(|a, b| a.1.total_cmp(&b.1));
        nearest.map_or(0, |(speaker, _)| speaker)
    };
    Assignment {
        locals: assign_locals(window, voices),
        pieces: window.pieces.iter().map(nearest).collect(),
    }
}

/// Assigns the local speakers of a window to different speakers, so that the sum of their cosines is
/// highest. Those without a voice, and those in excess of the speakers, have none.
fn assign_locals(window: &LocalSpeakers, voices: &[VoiceVector]) -> Locals {
    let mut choices = Vec::new();
    for (local, voice) in window.voices.iter().enumerate() {
        if let Some(voice) = voice {
            let cosines = voices.iter().map(|other| dot(&voice.vector, other));
            let mut nearest: Vec<(usize, f32)> = cosines.enumerate().collect();
            nearest.sort_by(|a, b| b.1.total_cmp(&a.1));
            // One of these is free whatever the other local speakers are assigned to.
            nearest.truncate(LOCAL_SPEAKERS);
            choices.push((local, nearest));
        }
    }
    let mut best = (f32::MIN, Locals::default());
    search(&choices, (0.0, Locals::default()), &mut best);
    best.1
}

/// Tries every choice of the first local speaker, each with every choice of the others.
fn search(
    choices: &[(usize, Vec<(usize, f32)>)],
    (sum, assignment): (f32, Locals),
    best: &mut (f32, Locals),
) {
    let Some(((local, nearest), others)) = choices.split_first() else {
        if sum > best.0 {
            *best = (sum, assignment);
        }
        return;
    };
    for &(speaker, cosine) in nearest {
        if !assignment.contains(&Some(speaker)) {
            let mut assignment = assignment;
            assignment[*local] = Some(speaker);
            // More than any two cosines differ by: every assignment is better than none.
            search(others, (sum + cosine + 2.0, assignment), best);
        }
    }
    search(others, (sum, assignment), best);
}

#[cfg(test)]
mod tests;
