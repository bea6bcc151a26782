//! The times that encoding and writing take on a machine: the fake engine.

use std::time::Duration;

/// A machine with a model.
#[derive(Clone, Copy, Debug)]
pub struct Machine {
    pub name: &'static str,
    pub kind: Kind,
    /// The windows of a full batch of an engine today, and the slots of a runner. Memory is enough for them.
    pub slots: usize,
    /// The most windows in an encoder call.
    pub max_encode: usize,
    /// Tokens per second of audio.
    pub tokens_per_s: f64,
    /// Engines today, and runners; a GPU has one.
    pub runners: usize,
}

/// How the times follow from the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// whisper-base in 8 bits, a runner on one core of an AMD EPYC (Zen 3, AVX2), beam 5.
    CpuBase,
    /// large-v3-turbo in 16 bits on an H100, beam 5.
    H100Turbo,
    /// large-v3 in 16 bits on an H100, beam 5.
    H100LargeV3,
}

/// The machines of the tables.
pub const MACHINES: [Machine; 3] = [
    Machine {
        name: "CPU base, 2 runners",
        kind: Kind::CpuBase,
        slots: 8,
        max_encode: 1,
        // Measured: 27 tokens for 8.6 s of speech.
        tokens_per_s: 3.1,
        runners: 2,
    },
    Machine {
        name: "H100 turbo",
        kind: Kind::H100Turbo,
        slots: 512,
        max_encode: 16,
        // As in the measurement of docs/performance.md: 100 tokens for 30 s.
        tokens_per_s: 100.0 / 30.0,
        runners: 1,
    },
    Machine {
        name: "H100 large-v3",
        kind: Kind::H100LargeV3,
        // Measured: the windows of 30 s whose keys and values fit into 80 GB beside the weights.
        slots: 178,
        max_encode: 16,
        tokens_per_s: 100.0 / 30.0,
        runners: 1,
    },
];

impl Machine {
    /// Time of one window's encoding in a long call.
    pub fn encode_s(&self, audio_s: f64) -> f64 {
        match self.kind {
            // Measured: 0.234 to 0.278 s for 8.6 s, of which the length-aware encoder computes
            // (8.6 + 1) * 50 + 20 = 500 positions; 88 % of that is linear in the positions, 12 % is
            // attention (computed from the multiplications).
            Kind::CpuBase => {
                let positions = ((audio_s + 1.0) * 50.0 + 20.0) / 500.0;
                0.24 * positions * (0.88 + 0.12 * positions)
            }
            // Computed from kernels that were measured: 4.42 ms for 30 s, the same encoder in both.
            Kind::H100Turbo | Kind::H100LargeV3 => 4.42e-3 * audio_s / 30.0,
        }
    }

    /// Time of an encoder call.
    pub fn call_s(&self, audio_s: impl Iterator<Item = f64>) -> f64 {
        let sum: f64 = audio_s.map(|audio_s| self.encode_s(audio_s)).sum();
        match self.kind {
            Kind::CpuBase => sum,
            // Assumed: launching the kernels of 32 layers once.
            Kind::H100Turbo | Kind::H100LargeV3 => sum.max(2e-3),
        }
    }

    /// Time of a decoder step with this number of windows.
    pub fn step_s(&self, windows: usize) -> f64 {
        let windows = windows as f64;
        match self.kind {
            // Measured: 10.9 ms for one window, of which 8.8 ms are reading the decoder's weights; 5.3
            // requests a second at 16 callers.
            Kind::CpuBase => 8.8e-3 + 2.15e-3 * windows,
            // Measured: 512 windows of 30 s, 100 tokens each, in 1.23 s.
            Kind::H100Turbo => 1.1e-3 + 0.0219e-3 * windows,
            // Measured: a lone window takes 0.55 s, 178 windows 3.03 s.
            Kind::H100LargeV3 => 5.5e-3 + 0.139e-3 * windows,
        }
    }

    pub fn is_gpu(&self) -> bool {
        self.kind != Kind::CpuBase
    }
}

/// Seconds as a duration.
pub fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds.max(0.0))
}
