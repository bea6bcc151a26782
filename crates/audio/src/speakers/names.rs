//! Known speakers: which voices of a recording have a name.

use super::Voice;

/// Minimum cosine of a voice and a reference of the same person.
pub const NAME_COSINE: f32 = 0.5;

/// For each voice of a recording, the index of its reference.
///
/// The pairs with the highest cosine come first; each reference belongs to one voice at most, and pairs
/// below `min_cosine` to none.
#[must_use]
pub fn assign_names(voices: &[Voice], references: &[Voice], min_cosine: f32) -> Vec<Option<usize>> {
    let mut pairs = Vec::new();
    for (voice, vector) in voices.iter().enumerate() {
        for (reference, other) in references.iter().enumerate() {
            pairs.push((vector.cosine(other), voice, reference));
        }
    }
    pairs.retain(|(cosine, ..)| *cosine >= min_cosine);
    pairs.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut names = vec![None; voices.len()];
    for (_, voice, reference) in pairs {
        if names[voice].is_none() && !names.contains(&Some(reference)) {
            names[voice] = Some(reference);
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(voices: &[f32], references: &[f32], expected: &[Option<usize>]) {
        let voices: Vec<Voice> = voices.iter().copied().map(Voice::at_angle).collect();
        let references: Vec<Voice> = references.iter().copied().map(Voice::at_angle).collect();
        assert_eq!(assign_names(&voices, &references, 0.5), expected);
    }

    #[test]
    fn a_name_goes_to_the_nearest_voice_alone() {
        check(&[0.0, 90.0], &[80.0, 10.0], &[Some(1), Some(0)]);
        // Both voices are near to the first reference; the second is near to none.
        check(&[0.0, 20.0], &[15.0, 180.0], &[None, Some(0)]);
        // The second voice takes its second choice.
        check(&[0.0, 20.0], &[5.0, 45.0], &[Some(0), Some(1)]);
    }

    #[test]
    fn strangers_have_no_name() {
        check(&[0.0, 90.0], &[61.0], &[None, Some(0)]);
        check(&[0.0], &[61.0], &[None]);
        check(&[0.0], &[], &[None]);
        check(&[], &[0.0], &[]);
    }
}
