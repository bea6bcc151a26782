//! Agglomerative clustering with average linkage.

/// A merge of two clusters, each named by one of its items.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Merge {
    pub items: [usize; 2],
    /// Mean distance between the items of the two.
    pub distance: f32,
}

/// Distances between items: those of each item to the items before it.
pub struct Distances {
    values: Vec<f32>,
    count: usize,
}

impl Distances {
    pub fn new(count: usize, distance: impl Fn(usize, usize) -> f32) -> Self {
        let pairs = (0..count).flat_map(|item| (0..item).map(move |before| (before, item)));
        let mut values = Vec::with_capacity(pair_count(count));
        values.extend(pairs.map(|(before, item)| distance(before, item)));
        Self { values, count }
    }

    /// Memory of the distances between `count` items, in bytes.
    pub const fn bytes_of(count: usize) -> usize {
        pair_count(count) * size_of::<f32>()
    }

    fn between(&self, a: usize, b: usize) -> f32 {
        self.values[index(a, b)]
    }

    fn set(&mut self, a: usize, b: usize, distance: f32) {
        self.values[index(a, b)] = distance;
    }
}

/// Index of the distance between two different items.
fn index(a: usize, b: usize) -> usize {
    pair_count(a.max(b)) + a.min(b)
}

/// Number of pairs of this many items.
const fn pair_count(items: usize) -> usize {
    items * items.saturating_sub(1) / 2
}

/// Merges until one cluster is left; the merges are in order of their distances. `sizes` says how many
/// items each of the given ones counts for.
///
/// By the nearest-neighbour chain, which needs time proportional to the square of the number of items.
/// Of equally near clusters, the first is merged.
pub fn merges(mut distances: Distances, mut sizes: Vec<f32>) -> Vec<Merge> {
    let count = distances.count;
    let mut active: Vec<usize> = (0..count).collect();
    let mut merges = Vec::new();
    let mut chain: Vec<usize> = Vec::new();
    while active.len() > 1 {
        let last = *chain.last().unwrap_or(&active[0]);
        if chain.is_empty() {
            chain.push(last);
        }
        let before = chain.len().checked_sub(2).map(|index| chain[index]);
        let nearest = nearest(&distances, &active, last, before);
        if before != Some(nearest) {
            chain.push(nearest);
            continue;
        }
        chain.truncate(chain.len() - 2);
        let (kept, gone) = (last.min(nearest), last.max(nearest));
        merges.push(Merge {
            items: [kept, gone],
            distance: distances.between(kept, gone),
        });
        active.retain(|item| *item != gone);
        let total = sizes[kept] + sizes[gone];
        for &other in active.iter().filter(|item| **item != kept) {
            let sum = distances.between(kept, other) * sizes[kept]
                + distances.between(gone, other) * sizes[gone];
            distances.set(kept, other, sum / total);
        }
        sizes[kept] = total;
    }
    // A stable order: a merge comes after those of its parts, also where distances are equal.
    merges.sort_by(|a, b| a.distance.total_cmp(&b.distance));
    merges
}

/// The cluster nearest to `item`; of equal ones `preferred`, which ends the chain, then the first.
fn nearest(
    distances: &Distances,
    active: &[usize],
    item: usize,
    preferred: Option<usize>,
) -> usize {
    let mut best = preferred;
    for &other in active.iter().filter(|other| **other != item) {
        let is_nearer = |best| distances.between(item, other) < distances.between(item, best);
        if best.is_none_or(is_nearer) {
            best = Some(other);
        }
    }
    best.unwrap_or(item)
}

/// Cluster of each of `count` items after `merges`, numbered from 0 in order of their first items.
pub fn labels(count: usize, merges: &[Merge]) -> Vec<usize> {
    let mut parents: Vec<usize> = (0..count).collect();
    for Merge { items, .. } in merges {
        let [a, b] = items.map(|item| root(&parents, item));
        parents[a.max(b)] = a.min(b);
    }
    let mut numbers = vec![None; count];
    let mut next = 0;
    (0..count)
        .map(|item| {
            *numbers[root(&parents, item)].get_or_insert_with(|| {
                next += 1;
                next - 1
            })
        })
        .collect()
}

fn root(parents: &[usize], mut item: usize) -> usize {
    while parents[item] != item {
        item = parents[item];
    }
    item
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn on_a_line(points: &[f32]) -> Vec<Merge> {
        let distances = Distances::new(points.len(), |a, b| (points[a] - points[b]).abs());
        merges(distances, vec![1.0; points.len()])
    }

    #[test]
    fn merges_the_nearest_by_the_mean_of_their_distances() {
        let found = on_a_line(&[0.0, 10.0, 1.0, 14.0]);
        let expected = [([0, 2], 1.0), ([1, 3], 4.0), ([0, 1], 11.5)];
        let expected = expected.map(|(items, distance)| Merge { items, distance });
        assert_eq!(found, expected);
        assert_eq!(labels(4, &found[..2]), [0, 1, 0, 1]);
        assert_eq!(labels(4, &found[..1]), [0, 1, 0, 2]);
        assert!(on_a_line(&[]).is_empty() && on_a_line(&[1.0]).is_empty());
    }

    #[test]
    fn each_pair_has_one_distance() {
        let distances = Distances::new(5, |a, b| (10 * a + b) as f32);
        assert_eq!(Distances::bytes_of(5), distances.values.len() * 4);
        for (a, b) in [(0, 1), (0, 4), (2, 3), (3, 4)] {
            assert_eq!(distances.between(a, b), (10 * a + b) as f32);
            assert_eq!(distances.between(b, a), (10 * a + b) as f32);
        }
        assert_eq!([0, 1, 2].map(Distances::bytes_of), [0, 0, 4]);
    }

    #[test]
    fn a_larger_item_counts_for_more() {
        let points: [f32; 3] = [0.0, 2.0, 10.0];
        let distances = Distances::new(3, |a, b| (points[a] - points[b]).abs());
        let found = merges(distances, vec![3.0, 1.0, 1.0]);
        assert_eq!(found[1].distance, (3.0 * 10.0 + 8.0) / 4.0);
    }

    /// The same by its definition.
    fn plain(points: &[(f32, f32)]) -> Vec<f32> {
        let distance = |a: usize, b: usize| {
            let ((ax, ay), (bx, by)) = (points[a], points[b]);
            f64::from((ax - bx).hypot(ay - by))
        };
        let mut clusters: Vec<Vec<usize>> = (0..points.len()).map(|item| vec![item]).collect();
        let mut found = Vec::new();
        while clusters.len() > 1 {
            let mut best = (f64::MAX, 0, 0);
            for a in 0..clusters.len() {
                for b in a + 1..clusters.len() {
                    let pairs = clusters[a]
                        .iter()
                        .flat_map(|x| clusters[b].iter().map(move |y| (*x, *y)));
                    let sum: f64 = pairs.map(|(x, y)| distance(x, y)).sum();
                    let mean = sum / (clusters[a].len() * clusters[b].len()) as f64;
                    if mean < best.0 {
                        best = (mean, a, b);
                    }
                }
            }
            let gone = clusters.remove(best.2);
            clusters[best.1].extend(gone);
            found.push(best.0 as f32);
        }
        found
    }

    proptest! {
        #[test]
        fn equals_the_definition(points in prop::collection::vec((0.0_f32..9.0, 0.0_f32..9.0), 0..14)) {
            let distances = Distances::new(points.len(), |a, b| {
                (points[a].0 - points[b].0).hypot(points[a].1 - points[b].1)
            });
            let found = merges(distances, vec![1.0; points.len()]);
            for (merge, expected) in found.iter().zip(plain(&points)) {
                prop_assert!((merge.distance - expected).abs() < 1e-3);
            }
            prop_assert_eq!(found.len(), points.len().saturating_sub(1));
            prop_assert!(labels(points.len(), &found).iter().all(|label| *label == 0));
        }
    }
}
