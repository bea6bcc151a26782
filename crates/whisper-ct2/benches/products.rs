//! Matrix products of whisper-base with 8-bit weights on one thread, with oneDNN's kernels and with this
//! project's, on a CPU with AVX2: `cargo bench --workspace --features generate --bench products`. An element is a multiplication.
#![expect(unsafe_code, reason = "the kernels are C++")]

#[cfg(target_arch = "x86_64")]
mod kernels {
    use std::ffi::{c_int, c_void};

    use criterion::{BenchmarkId, Criterion, Throughput};
    // The library that the functions below are linked from.
    use halkspeech_whisper_ct2 as _;

    // Documented in cpp/gemm/gemm.cc.
    unsafe extern "C" {
        fn halkspeech_pack_weights(
            kernels: c_int,
            threads: c_int,
            n: i64,
            k: i64,
            b: *const i8,
        ) -> *mut c_void;
        fn halkspeech_drop_weights(weights: *mut c_void);
        fn halkspeech_multiply_weights(
            weights: *const c_void,
            threads: c_int,
            m: i64,
            a: *const u8,
            compensation: *const i32,
            c: *mut i32,
        );
    }

    const KERNELS: [(&str, c_int); 2] = [("oneDNN", 1), ("AVX2", 2)];
    /// Rows of the activations, then the size of the weights: of the encoder with ten seconds, and of
    /// the decoder with the beams of one window and of eight.
    const SHAPES: [(&str, [usize; 3]); 8] = [
        ("encoder, attention", [500, 512, 512]),
        ("encoder, to the inner layer", [500, 2048, 512]),
        ("encoder, from the inner layer", [500, 512, 2048]),
        ("decoder, attention, 1 window", [5, 512, 512]),
        ("decoder, attention, 8 windows", [40, 512, 512]),
        ("decoder, to the inner layer, 8 windows", [40, 2048, 512]),
        ("decoder, to the vocabulary, 1 window", [5, 51_865, 512]),
        ("decoder, to the vocabulary, 8 windows", [40, 51_865, 512]),
    ];

    /// Bytes, approximately normally distributed around `mean`: sums of twelve numbers with a fixed seed.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to a byte"
    )]
    fn normal_bytes(length: usize, deviation: f32, mean: f32) -> Vec<u8> {
        let mut state = 1_u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f32::from((state >> 16) as u16) / 65_536.0
        };
        (0..length)
            .map(|_| {
                let sum: f32 = (0..12).map(|_| next()).sum();
                (sum - 6.0).mul_add(deviation, mean).clamp(1.0, 255.0) as u8
            })
            .collect()
    }

    pub fn products(criterion: &mut Criterion) {
        let mut group = criterion.benchmark_group("products");
        for (name, [m, n, k]) in SHAPES {
            let size = |length: usize| i64::try_from(length).expect("small");
            // With the standard deviations of the model's.
            let activations = normal_bytes(m * k, 15.0, 128.0);
            let weights: Vec<i8> = normal_bytes(n * k, 35.0, 128.0)
                .iter()
                .map(|byte| (byte ^ 0x80).cast_signed())
                .collect();
            let compensation = vec![0; n];
            let mut product = vec![0; m * n];
            group.throughput(Throughput::Elements((m * n * k) as u64));
            for (kernels, number) in KERNELS {
                // SAFETY: `weights` has n * k elements.
                let packed = unsafe {
                    halkspeech_pack_weights(number, 1, size(n), size(k), weights.as_ptr())
                };
                group.bench_function(BenchmarkId::new(name, kernels), |bencher| {
                    bencher.iter(|| {
                        // SAFETY: every pointer is to a matrix of the size that is passed, and `packed` is live.
                        unsafe {
                            halkspeech_multiply_weights(
                                packed,
                                1,
                                size(m),
                                activations.as_ptr(),
                                compensation.as_ptr(),
                                product.as_mut_ptr(),
                            );
                        }
                    });
                });
                // SAFETY: `packed` is from `halkspeech_pack_weights` and is not used again.
                unsafe { halkspeech_drop_weights(packed) };
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
criterion::criterion_group!(benches, kernels::products);
#[cfg(target_arch = "x86_64")]
criterion::criterion_main!(benches);

#[cfg(not(target_arch = "x86_64"))]
fn main() {}
