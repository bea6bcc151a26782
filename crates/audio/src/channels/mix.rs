//! Mixes the channels of a packet to mono. Pure.

use std::mem;

/// Channels cancel each other if the energy of their average is lower than this ratio of the energy
/// expected for uncorrelated channels: -20 dB.
const MIN_ENERGY_RATIO: f64 = 0.01;

/// For channels that cancel each other, another channel is selected only if its energy is higher by this
/// factor, so that equally loud channels do not alternate.
const MIN_LOUDER_RATIO: f64 = 2.0;

/// Mixes packets of one recording.
#[derive(Debug, Default)]
pub struct Mixer {
    /// The channel that is used if channels cancel each other.
    selected_channel: usize,
    /// Buffer for the average.
    average: Vec<f32>,
}

impl Mixer {
    /// Replaces the first plane by the average of all planes, or by a single plane if they cancel each
    /// other.
    pub fn mix_into_first(&mut self, planes: &mut [Vec<f32>]) {
        if planes.len() < 2 {
            return;
        }
        let energies: Vec<f64> = planes.iter().map(|plane| energy(plane)).collect();
        let count = planes.len() as f64;
        let uncorrelated = energies.iter().sum::<f64>() / (count * count);
        average(planes, &mut self.average);
        if energy(&self.average) >= MIN_ENERGY_RATIO * uncorrelated {
            if let Some(first) = planes.first_mut() {
                mem::swap(first, &mut self.average);
            }
            return;
        }
        let energy_of = |channel: usize| energies.get(channel).copied().unwrap_or(0.0);
        let loudest = (0..planes.len())
            .rev()
            .max_by(|&a, &b| energy_of(a).total_cmp(&energy_of(b)))
            .unwrap_or(0);
        if energy_of(loudest) > MIN_LOUDER_RATIO * energy_of(self.selected_channel) {
            self.selected_channel = loudest;
        }
        planes.swap(0, self.selected_channel);
    }
}

/// The sum of the squares, in several parallel sums: a sequential sum would dominate the run time for many
/// channels.
fn energy(plane: &[f32]) -> f64 {
    const SUMS: usize = 8;
    let (blocks, rest) = plane.as_chunks::<SUMS>();
    let square = |sample: f32| f64::from(sample) * f64::from(sample);
    let mut sums = [0.0; SUMS];
    for block in blocks {
        for (sum, sample) in sums.iter_mut().zip(block) {
            *sum += square(*sample);
        }
    }
    let rest: f64 = rest.iter().map(|sample| square(*sample)).sum();
    sums.iter().sum::<f64>() + rest
}

/// The average of planes of the same length.
fn average(planes: &[Vec<f32>], into: &mut Vec<f32>) {
    into.clear();
    let Some((first, others)) = planes.split_first() else {
        return;
    };
    into.extend_from_slice(first);
    for other in others {
        for (sum, sample) in into.iter_mut().zip(other) {
            *sum += sample;
        }
    }
    let scale = 1.0 / planes.len() as f32;
    for sample in into {
        *sample *= scale;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(mixer: &mut Mixer, planes: &[[f32; 4]], expected: [f32; 4]) {
        let mut planes: Vec<Vec<f32>> = planes.iter().map(|plane| plane.to_vec()).collect();
        mixer.mix_into_first(&mut planes);
        assert_eq!(planes[0], expected);
    }

    #[test]
    fn averages_channels_that_do_not_cancel_each_other() {
        let mut mixer = Mixer::default();
        check(
            &mut mixer,
            &[[0.5, 0.25, 0.0, -1.0]],
            [0.5, 0.25, 0.0, -1.0],
        );
        check(&mut mixer, &[[0.5; 4], [0.0; 4]], [0.25; 4]);
        check(&mut mixer, &[[0.0; 4], [0.0; 4]], [0.0; 4]);
        check(
            &mut mixer,
            &[[0.5, -0.5, 0.5, -0.5], [0.5; 4]],
            [0.5, 0.0, 0.5, 0.0],
        );
        // One of many channels.
        let mut many = [[0.0; 4]; 16];
        many[9] = [0.5; 4];
        check(&mut mixer, &many, [0.03125; 4]);
    }

    #[test]
    fn selects_one_of_two_channels_in_opposite_phase() {
        let mut mixer = Mixer::default();
        let (wave, inverse) = ([0.5, -0.5, 0.25, 0.0], [-0.5, 0.5, -0.25, 0.0]);
        check(&mut mixer, &[wave, inverse], wave);
        // The selection is kept, so that the sign does not change.
        check(
            &mut mixer,
            &[inverse.map(|x| x * 0.99), wave],
            inverse.map(|x| x * 0.99),
        );
        // Nearly opposite: a microphone and its inverse with a little noise.
        check(&mut mixer, &[wave, inverse.map(|x| x * 0.95)], wave);
    }

    #[test]
    fn selects_a_clearly_louder_channel() {
        let mut mixer = Mixer::default();
        let quiet = [0.5, -0.5, 0.25, 0.0];
        let loud = [-0.55, 0.55, -0.3, 0.0];
        check(&mut mixer, &[quiet, loud], quiet);
        let three = [quiet.map(|x| x / 10.0), quiet, quiet.map(|x| x * -1.1)];
        check(&mut mixer, &three, quiet.map(|x| x * -1.1));
    }
}
