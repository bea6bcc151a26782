//! Sample tables of every form.

use super::*;

/// All runs: offset, bytes, samples and time.
fn runs(tables: &SampleTables, max_ticks: u64) -> Vec<(u64, u64, u32, u64)> {
    let mut cursor = TableCursor::default();
    std::iter::from_fn(|| {
        let run = cursor.peek(tables, &[], RunLimit::skip(max_ticks))?;
        cursor.advance(&run);
        Some((run.offset, run.bytes, run.samples, run.time))
    })
    .collect()
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

fn tables() -> SampleTables {
    let mut tables = SampleTables::default();
    tables.set_durations(words(&[0, 2, 3, 10, 9, 20]));
    tables.set_chunks(words(&[0, 2, 1, 2, 1, 2, 1, 1]));
    tables.set_offsets(words(&[0, 4, 100, 200, 0, 300]));
    tables
}

#[test]
fn reads_sizes_of_every_width() {
    let expected = [(100, 1, 1, 0), (101, 2, 1, 10), (200, 3, 1, 20)];
    let mut tables = tables();
    tables.set_sizes(&words(&[0, 0, 3, 1, 2, 3]));
    assert_eq!(runs(&tables, 0), expected);
    for (bits, table) in [
        (4, &[0x12, 0x30][..]),
        (8, &[1, 2, 3]),
        (16, &[0, 1, 0, 2, 0, 3]),
    ] {
        tables.set_compact_sizes(&[&words(&[0, bits, 3]), table].concat());
        assert_eq!(runs(&tables, 0), expected, "{bits}");
    }
}

#[test]
fn joins_samples_of_equal_size_within_chunk_and_duration() {
    let mut tables = tables();
    tables.set_sizes(&words(&[0, 5, 5]));
    let expected = [
        (100, 10, 2, 0),
        (200, 5, 1, 20),
        (0, 5, 1, 30),
        (300, 5, 1, 50),
    ];
    assert_eq!(runs(&tables, 1_000), expected);
}

#[test]
fn tables_that_are_too_short_end_early() {
    let mut tables = tables();
    tables.set_sizes(&words(&[0, 0, 9, 1, 2]));
    assert_eq!(runs(&tables, 0).len(), 2);
    tables.set_sizes(&words(&[0, 1, 9]));
    assert_eq!(runs(&tables, 0).len(), 5);
    // Missing durations equal the last one.
    tables.set_durations(words(&[0, 5, 1, 10]));
    let times: Vec<_> = runs(&tables, 0).iter().map(|run| run.3).collect();
    assert_eq!(times, [0, 10, 20, 30, 40]);
    tables.set_chunks(vec![0; 3]);
    assert_eq!(runs(&tables, 0), []);
}

#[test]
fn reads_large_offsets() {
    let mut tables = tables();
    tables.set_sizes(&words(&[0, 1, 1]));
    tables.set_large_offsets(words(&[0, 1, 7, 9]));
    assert_eq!(runs(&tables, 0), [((7 << 32) + 9, 1, 1, 0)]);
}
