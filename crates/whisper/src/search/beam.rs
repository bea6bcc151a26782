//! One step of a beam search: which candidates of all beams end a text or become the next beams.

use super::candidates::Candidates;
use super::hypothesis::Hypothesis;
use super::options::{ScoredToken, Token};

/// A beam and one of its candidates.
#[derive(Clone, Copy, Debug)]
pub(super) struct Continuation {
    /// Index of the beam.
    pub parent: usize,
    /// The candidate.
    pub next: ScoredToken,
    /// The sum of the log probabilities.
    sum: f32,
}

/// What a step depends on besides its candidates.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    pub beam_size: usize,
    pub end_of_text: Token,
    /// Whether all beams end behind this token.
    pub is_last: bool,
    /// Whether only the best candidate may be the end of the text: in the first step behind a forced prefix.
    pub only_best_may_end: bool,
}

/// The result of a step.
#[derive(Debug, Default)]
pub(super) struct Selection {
    /// Texts that end, the best first; by their last token if that is no end of text.
    pub ended: Vec<Continuation>,
    /// The next beams.
    pub continued: Vec<Continuation>,
    /// Whether the best candidate ended.
    pub is_best_ended: bool,
}

impl Step {
    /// Selects from the ranked continuations. Each of the best `beam_size` keeps its place; where one ends,
    /// the best further one that does not end takes it.
    pub fn select(&self, ranked: &[Continuation]) -> Selection {
        let is_end = |next: &Continuation| next.next.token == self.end_of_text;
        let (best, further) = ranked.split_at(self.beam_size.min(ranked.len()));
        let mut further = further.iter().filter(|next| !is_end(next));
        let mut selection = Selection::default();
        for (place, &next) in best.iter().enumerate() {
            if !is_end(&next) && !self.is_last {
                selection.continued.push(next);
            } else if !is_end(&next) || !self.only_best_may_end || place == 0 {
                selection.ended.push(next);
                selection.is_best_ended |= place == 0;
                selection.continued.extend(further.next());
            }
        }
        if self.is_last {
            selection.continued.clear();
        }
        selection
    }
}

/// All continuations, the best first; of equal ones that of the earlier beam, then the earlier candidate.
pub(super) fn rank(beams: &[Hypothesis], candidates: &[Candidates]) -> Vec<Continuation> {
    let mut ranked: Vec<Continuation> = Vec::new();
    for (parent, (beam, candidates)) in beams.iter().zip(candidates).enumerate() {
        let allowed = candidates.iter().filter(|next| next.is_allowed());
        ranked.extend(allowed.map(|&next| Continuation {
            parent,
            next,
            sum: beam.sum + next.log_prob,
        }));
    }
    // The sort is stable.
    ranked.sort_by(|a, b| b.sum.total_cmp(&a.sum));
    ranked
}

/// The next beams. A beam's tokens are copied only if several beams continue it.
pub(super) fn continue_beams(
    mut beams: Vec<Hypothesis>,
    continued: &[Continuation],
) -> Vec<Hypothesis> {
    let mut next_beams = Vec::with_capacity(continued.len());
    for (place, &Continuation { parent, next, .. }) in continued.iter().enumerate() {
        let mut later = continued[place + 1..].iter();
        let mut beam = if later.any(|other| other.parent == parent) {
            beams[parent].clone()
        } else {
            std::mem::take(&mut beams[parent])
        };
        beam.push(next);
        next_beams.push(beam);
    }
    next_beams
}

#[cfg(test)]
mod tests {
    use super::*;

    const END: Token = 9;

    /// Checks the tokens that end and those that continue, of candidates of two beams with equal sums.
    #[track_caller]
    fn check(step: Step, candidates: [&[(Token, f32)]; 2], ended: &[Token], continued: &[Token]) {
        let beams = [
            Hypothesis::new(Vec::new(), 0),
            Hypothesis::new(Vec::new(), 0),
        ];
        let candidates = candidates.map(|row| {
            let scored = row.iter();
            scored
                .map(|&(token, log_prob)| ScoredToken { token, log_prob })
                .collect()
        });
        let selection = step.select(&rank(&beams, &candidates));
        let tokens = |list: &[Continuation]| -> Vec<Token> {
            list.iter().map(|next| next.next.token).collect()
        };
        assert_eq!(tokens(&selection.ended), ended);
        assert_eq!(tokens(&selection.continued), continued);
    }

    #[test]
    fn places_are_kept_and_those_of_ended_texts_are_filled() {
        let step = Step {
            beam_size: 2,
            end_of_text: END,
            is_last: false,
            only_best_may_end: false,
        };
        let rows: [&[_]; 2] = [
            &[(1, -1.0), (2, -4.0), (END, -5.0)],
            &[(END, -0.5), (3, -2.0), (4, -3.0)],
        ];
        check(step, rows, &[END], &[3, 1]);
        check(
            Step {
                is_last: true,
                ..step
            },
            rows,
            &[END, 1],
            &[],
        );
        let ends: [&[_]; 2] = [
            &[(END, -0.1), (1, -3.0), (2, -4.0)],
            &[(END, -0.2), (3, -3.5), (4, -5.0)],
        ];
        check(step, ends, &[END, END], &[1, 3]);
        check(
            Step {
                only_best_may_end: true,
                ..step
            },
            ends,
            &[END],
            &[1],
        );
        // Of equal ones the earlier beam's, then the earlier candidate. Banned tokens stay out.
        let equal: [&[_]; 2] = [
            &[(8, -1.0), (7, -1.0), (6, f32::MIN)],
            &[(5, -1.0), (4, f32::NEG_INFINITY)],
        ];
        check(step, equal, &[], &[8, 7]);
        check(
            Step {
                beam_size: 5,
                ..step
            },
            equal,
            &[],
            &[8, 7, 5],
        );
    }
}
