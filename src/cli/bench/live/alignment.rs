//! Finds the words of a reference in another text.

/// The pairs of equal words, as indices into both, of an alignment with the fewest errors, in order.
pub fn matches(reference: &[String], hypothesis: &[String]) -> Vec<(usize, usize)> {
    let shorter = reference.len().min(hypothesis.len());
    let equal = |pair: &(&String, &String)| pair.0 == pair.1;
    let prefix = reference.iter().zip(hypothesis).take_while(equal).count();
    let backwards = reference.iter().rev().zip(hypothesis.iter().rev());
    let suffix = backwards.take_while(equal).take(shorter - prefix).count();

    let (reference_end, hypothesis_end) = (reference.len() - suffix, hypothesis.len() - suffix);
    let middle = align(
        &reference[prefix..reference_end],
        &hypothesis[prefix..hypothesis_end],
    );
    let mut pairs: Vec<_> = (0..prefix).map(|at| (at, at)).collect();
    pairs.extend(middle.into_iter().map(|(a, b)| (a + prefix, b + prefix)));
    pairs.extend((0..suffix).map(|at| (reference_end + at, hypothesis_end + at)));
    pairs
}

/// The last step of the cheapest way to a cell of the table of Levenshtein.
#[derive(Clone, Copy, PartialEq)]
enum Step {
    Match,
    Substitute,
    Delete,
    Insert,
}

/// As [`matches`], with a table of a byte for each pair of words.
fn align(reference: &[String], hypothesis: &[String]) -> Vec<(usize, usize)> {
    let width = hypothesis.len();
    let mut steps = Vec::with_capacity(reference.len() * width);
    let mut row: Vec<usize> = (0..=width).collect();
    for (i, expected) in reference.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, actual) in hypothesis.iter().enumerate() {
            let (deleted, inserted) = (row[j + 1] + 1, row[j] + 1);
            let is_equal = expected == actual;
            let replaced = diagonal + usize::from(!is_equal);
            let step = match (is_equal, replaced <= deleted.min(inserted)) {
                (true, true) => Step::Match,
                (false, true) => Step::Substitute,
                (_, false) if deleted <= inserted => Step::Delete,
                (_, false) => Step::Insert,
            };
            steps.push(step);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(deleted).min(inserted);
        }
    }
    let mut pairs = Vec::new();
    let (mut i, mut j) = (reference.len(), width);
    while i > 0 && j > 0 {
        let step = steps[(i - 1) * width + j - 1];
        if step == Step::Match {
            pairs.push((i - 1, j - 1));
        }
        i -= usize::from(step != Step::Insert);
        j -= usize::from(step != Step::Delete);
    }
    pairs.reverse();
    pairs
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[track_caller]
    fn check(reference: &str, hypothesis: &str, expected: &[(usize, usize)]) {
        let pairs = matches(&words(reference), &words(hypothesis));
        assert_eq!(pairs, expected, "{reference:?} {hypothesis:?}");
    }

    #[test]
    fn finds_equal_words() {
        check("", "", &[]);
        check("a b", "", &[]);
        check("", "a", &[]);
        check("a b c", "a b c", &[(0, 0), (1, 1), (2, 2)]);
        check("a b c", "a x c", &[(0, 0), (2, 2)]);
        check("a b c", "b c", &[(1, 0), (2, 1)]);
        check("b c", "a b x c", &[(0, 1), (1, 3)]);
        check("a a", "a a a", &[(0, 0), (1, 1)]);
        check("x a b y", "z a b w q", &[(1, 1), (2, 2)]);
    }

    proptest! {
        #[test]
        fn an_alignment_has_the_fewest_errors(
            reference in prop::collection::vec("[abc]", 0..9),
            hypothesis in prop::collection::vec("[abc]", 0..9),
        ) {
            let pairs = matches(&reference, &hypothesis);
            for &(a, b) in &pairs {
                prop_assert_eq!(&reference[a], &hypothesis[b]);
            }
            // Between two matches, the longer side's words are errors.
            let mut errors = 0;
            let (mut last_a, mut last_b) = (0, 0);
            for &(a, b) in pairs.iter().chain([&(reference.len(), hypothesis.len())]) {
                prop_assert!(a >= last_a && b >= last_b);
                errors += (a - last_a).max(b - last_b);
                (last_a, last_b) = (a + 1, b + 1);
            }
            let distance = strsim::generic_levenshtein(&reference, &hypothesis);
            prop_assert_eq!(errors, distance);
        }
    }
}
