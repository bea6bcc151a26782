//! Which local speakers of all windows are the same person.

use super::SpeakerCount;
use super::embedding::{DIMENSIONS, VoiceVector, dot, normalised};
use super::linkage::{Distances, Merge, labels, merges};
use super::segmentation::LOCAL_SPEAKERS;
use super::window::{LocalSpeakers, LocalVoice};

/// Clusters are merged up to this cosine distance. On mixes of known voices, at 0.5 one voice was often
/// split and at 0.7 two were often one.
pub const MERGE_DISTANCE: f32 = 0.6;

/// Feature frames of 10 ms from which a vector takes part in forming the clusters. Shorter ones are noisy
/// and are assigned to the nearest cluster.
const MIN_CLUSTERED_FRAMES: usize = 100;

/// The speaker of each local speaker of a window.
pub type Assignment = [Option<usize>; LOCAL_SPEAKERS];

/// Speakers of a recording.
pub struct Clusters {
    /// The voice of each speaker.
    pub voices: Vec<VoiceVector>,
    /// For each window.
    pub assignments: Vec<Assignment>,
}

/// A vector, and how many it stands for.
#[derive(Clone)]
struct Item {
    vector: VoiceVector,
    size: f32,
}

/// Finds the speakers of a recording. At most `block` windows are clustered at once; then the speakers of
/// the blocks are.
pub fn cluster(windows: &[LocalSpeakers], block: usize, count: SpeakerCount) -> Clusters {
    let min_frames = windows
        .iter()
        .flat_map(voices)
        .map(|voice| voice.frames)
        .max()
        .unwrap_or(0)
        .min(MIN_CLUSTERED_FRAMES);
    let items = |windows: &[LocalSpeakers]| -> Vec<Item> {
        let long = windows
            .iter()
            .flat_map(voices)
            .filter(|voice| voice.frames >= min_frames);
        long.map(|voice| Item {
            vector: voice.vector,
            size: 1.0,
        })
        .collect()
    };
    let all = if windows.len() > block {
        let blocks = windows.chunks(block.max(1));
        blocks
            .flat_map(|windows| centroids(&items(windows), SpeakerCount::default()))
            .collect()
    } else {
        items(windows)
    };
    let voices: Vec<VoiceVector> = centroids(&all, count)
        .into_iter()
        .map(|item| item.vector)
        .collect();
    let assignments = windows
        .iter()
        .map(|window| assign(window, &voices))
        .collect();
    Clusters {
        voices,
        assignments,
    }
}

fn voices(window: &LocalSpeakers) -> impl Iterator<Item = &LocalVoice> {
    window.voices.iter().flatten()
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
    let mut found = vec![([0.0; DIMENSIONS], 0.0); clusters];
    for (item, label) in items.iter().zip(labels) {
        let (sum, size) = &mut found[label];
        for (sum, value) in sum.iter_mut().zip(&item.vector) {
            *sum += value * item.size;
        }
        *size += item.size;
    }
    let item = |(sum, size): (VoiceVector, f32)| Item {
        vector: normalised(&sum),
        size,
    };
    found.into_iter().map(item).collect()
}

/// How many of the merges are done: all up to the distance, unless that leaves too many or too few
/// clusters.
fn merge_count(items: usize, merges: &[Merge], count: SpeakerCount) -> usize {
    let near = merges.partition_point(|merge| merge.distance <= MERGE_DISTANCE);
    let clusters = (items - near).max(count.min.min(items));
    let clusters = count.max.map_or(clusters, |max| clusters.min(max.get()));
    (items - clusters).min(merges.len())
}

/// Assigns the local speakers of a window to different speakers, so that the sum of their cosines is
/// highest. Those without a voice, and those in excess of the speakers, have none.
fn assign(window: &LocalSpeakers, voices: &[VoiceVector]) -> Assignment {
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
    let mut best = (f32::MIN, Assignment::default());
    search(&choices, (0.0, Assignment::default()), &mut best);
    best.1
}

/// Tries every choice of the first local speaker, each with every choice of the others.
fn search(
    choices: &[(usize, Vec<(usize, f32)>)],
    (sum, assignment): (f32, Assignment),
    best: &mut (f32, Assignment),
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
