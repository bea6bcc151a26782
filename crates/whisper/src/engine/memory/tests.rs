//! Plans for the sizes of real models.

use super::*;
use crate::engine::GenerateOptions;
use crate::features::encoder_positions;

const GB: u64 = 1_000_000_000;
const TURBO: Dimensions = Dimensions {
    width: 1280,
    heads: 20,
    decoder_layers: 4,
    vocabulary_size: 51_866,
    value_bytes: 2,
};
const LARGE_V3: Dimensions = Dimensions {
    decoder_layers: 32,
    ..TURBO
};

fn key(beam_size: usize) -> BatchKey {
    BatchKey {
        frames: 3000,
        previous_tokens: 0,
        options: GenerateOptions {
            beam_size: NonZeroUsize::new(beam_size).unwrap(),
            ..GenerateOptions::default()
        },
    }
}

/// A GPU of 80 GB with the weights, in hundreds of megabytes, and the driver's memory in use.
fn on_80_gb(dimensions: Dimensions, weights: u64) -> MemoryBudget {
    let memory = DeviceMemory {
        free: 80 * GB - weights * GB / 10 - GB / 2,
        total: 80 * GB,
    };
    MemoryBudget::new(dimensions, memory, weights * GB / 10, None)
}

/// `plan` has windows of 30 s together, windows in one call of the encoder, and gigabytes without the weights.
#[track_caller]
fn check(budget: MemoryBudget, beam_size: usize, wanted: usize, plan: (usize, usize, u64)) {
    let key = key(beam_size);
    let windows = budget.windows(&key, &vec![3000; wanted]);
    let peak = budget.peak_bytes(&key, &vec![3000; windows]);
    let encoder_windows = budget.encoder_windows(&key, 3000, windows);
    let actual = (windows, encoder_windows, peak / GB);
    assert_eq!(actual, plan, "{wanted} windows at beam {beam_size}");
    assert!(peak <= budget.available);
}

/// Each row of the old documentation's table, for a GPU of 80 GB.
#[test]
fn turbo_is_planned_for_every_row_of_the_old_table() {
    let turbo = on_80_gb(TURBO, 16);
    check(turbo, 5, 128, (128, 64, 13));
    check(turbo, 5, 256, (256, 64, 16));
    check(turbo, 5, 512, (512, 86, 32));
    check(turbo, 5, 768, (768, 86, 49));
    check(turbo, 5, 1024, (1024, 94, 65));
    check(turbo, 1, 512, (512, 86, 22));
    check(turbo, 1, 1024, (1024, 94, 44));
}

#[test]
fn large_v3_is_planned_for_every_row_of_the_old_table() {
    let large = on_80_gb(LARGE_V3, 31);
    for wanted in [192, 256, 384, 512, 768] {
        check(large, 5, wanted, (169, 85, 74));
    }
    check(large, 1, 192, (192, 64, 55));
    for wanted in [256, 384, 512, 768] {
        check(large, 1, wanted, (255, 85, 74));
    }
}

#[test]
fn no_tensor_exceeds_the_element_count_of_a_gpu() {
    let memory = DeviceMemory {
        free: 1000 * GB,
        total: 1000 * GB,
    };
    let large = MemoryBudget::new(TURBO, memory, 2 * GB, None);
    for frames in (200..=3000).step_by(100) {
        let windows = large.windows(&key(5), &[frames; 10_000]);
        let encoder_windows = large.encoder_windows(&key(5), frames, windows) as u64;
        let positions = encoder_positions(frames) as u64;
        assert!(windows as u64 * positions * 2 * 1280 < 1 << 32, "{frames}");
        let scores = encoder_windows * 20 * positions * positions;
        assert!(scores < 1 << 32, "{frames}");
        assert!(encoder_windows * positions * 4 * 1280 < 1 << 32, "{frames}");
        assert!(encoder_windows * positions * 3 * 1280 < 1 << 31, "{frames}");
    }
    let mixed: Vec<usize> = [200; 9000].into_iter().chain([1500; 9000]).collect();
    let windows = large.windows(&key(5), &mixed);
    let longest = encoder_positions(mixed[windows - 1]) as u64;
    assert!(windows as u64 * longest * 2 * 1280 < 1 << 32, "{windows}");
    assert_eq!(large.encoder_windows(&key(5), 3000, 95), 95);
    assert_eq!(large.encoder_windows(&key(5), 3000, 96), 48);
}

#[test]
fn a_limit_includes_the_weights() {
    let memory = DeviceMemory {
        free: 70 * GB,
        total: 80 * GB,
    };
    let limited = MemoryBudget::new(TURBO, memory, 2 * GB, Some(10 * GB));
    assert_eq!(limited.available, 6 * GB);
    let small = MemoryBudget::new(TURBO, memory, 2 * GB, Some(GB));
    assert_eq!(small.windows(&key(5), &[3000; 512]), 1);
    assert_eq!(small.encoder_windows(&key(5), 3000, 1), 1);
}

#[test]
fn slots_of_a_continuous_engine_fit_into_its_memory() {
    let large = on_80_gb(LARGE_V3, 31);
    let (windows, bytes) = large.slots(1000, 5);
    // Keys and values of 1,500 positions, and of 224 tokens of five hypotheses.
    let each = 2 * 32 * 1280 * 2 * (1500 + 5 * 224);
    assert_eq!((windows, bytes), (173, 173 * each));
    assert!(bytes <= large.available() && bytes + each > large.available());
    assert_eq!(large.slots(8, 5).0, 8);
    let tiny = MemoryBudget {
        available: 0,
        ..large
    };
    assert_eq!(tiny.slots(8, 5), (1, each));
}

#[test]
fn engines_on_one_gpu_share_its_memory() {
    let memory = DeviceMemory {
        free: 78 * GB,
        total: 80 * GB,
    };
    let two = NonZeroUsize::new(2).unwrap();
    let share = memory.shared_by(two, 3 * GB);
    assert_eq!((share.free, share.total), (75 * GB / 2, 80 * GB));
    assert_eq!(memory.shared_by(NonZeroUsize::MIN, 3 * GB), memory);
    let tiny = DeviceMemory { free: GB, ..memory };
    assert_eq!(tiny.shared_by(two, 3 * GB).free, 0);
}

#[test]
fn more_short_windows_fit_than_long_ones() {
    let large = on_80_gb(LARGE_V3, 31);
    let long = large.windows(&key(5), &[3000; 768]);
    assert!(large.windows(&key(5), &[1000; 768]) > long);
    let mixed: Vec<usize> = [1000; 100].into_iter().chain([3000; 668]).collect();
    let some_short = large.windows(&key(5), &mixed);
    assert!(some_short > long && some_short < long + 100);
    assert!(large.peak_bytes(&key(5), &mixed[..some_short]) <= large.available);
    assert!(large.peak_bytes(&key(5), &mixed[..=some_short]) > large.available);
}

#[test]
fn the_budget_decreases_after_out_of_memory_errors() {
    let mut budget = on_80_gb(TURBO, 16);
    let key = key(5);
    let mut windows = budget.windows(&key, &[3000; 1024]);
    while windows > 1 {
        budget.reduce(&key, &vec![3000; windows]);
        let fewer = budget.windows(&key, &[3000; 1024]);
        assert!(fewer <= windows.div_ceil(2), "{windows} to {fewer}");
        windows = fewer;
    }
}
