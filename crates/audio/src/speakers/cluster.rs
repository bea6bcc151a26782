//! Which local speakers of all windows are the same person.

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

/// Finds the speakers of a recording. At most `block` windows are clustered at once; then the speakers of
/// the blocks are.
pub fn cluster(windows: &[LocalSpeakers], block: usize, count: SpeakerCount) -> Clusters {
    let items = items(windows);
    let mut found = if windows.len() > block {
        let block_of = |item: &Item| item.windows[0] / block.max(1);
        let blocks = items.chunk_by(|a, b| block_of(a) == block_of(b));
        let of_blocks = blocks.flat_map(|items| centroids(items, SpeakerCount::default()));
        centroids(&of_blocks.collect::<Vec<_>>(), count)
    } else {
        centroids(&items, count)
    };
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

/// The vectors of all pieces, or if there are none, of all local speakers.
fn items(windows: &[LocalSpeakers]) -> Vec<Item> {
    let item = |window: usize, vector: &VoiceVector| Item {
        vector: *vector,
        size: 1.0,
        windows: [window; 2],
    };
    let (mut pieces, mut voices) = (Vec::new(), Vec::new());
    for (index, window) in windows.iter().enumerate() {
        let of_pieces = window.pieces.iter().map(|piece| &piece.vector);
        pieces.extend(of_pieces.map(|vector| item(index, vector)));
        let of_voices = window.voices.iter().flatten().map(|voice| &voice.vector);
        voices.extend(of_voices.map(|vector| item(index, vector)));
    }
    if pieces.is_empty() { voices } else { pieces }
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
