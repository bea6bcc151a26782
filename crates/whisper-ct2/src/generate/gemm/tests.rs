//! Tests of matrix products and attention against plain references.

use super::{GemmMonitor, foreign, with_failing_gemm};

/// Pseudo-random numbers with a fixed seed.
fn numbers() -> impl FnMut() -> u32 {
    let mut state = 1_u32;
    move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state >> 16
    }
}

/// A value so small that no kernel saturates, with any instructions.
fn small(number: u32) -> i8 {
    i8::try_from(number % 31).expect("small") - 15
}

fn can_pack() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
}

/// The kernels that multiply by packed weights.
#[derive(Clone, Copy, Debug)]
enum Kernels {
    CTranslate2Default = 0,
    OneDnn = 1,
    Avx2 = 2,
}

fn size(length: usize) -> i64 {
    i64::try_from(length).expect("small")
}

/// Weights `[n, k]`, packed.
struct Packed(*mut std::ffi::c_void);

impl Packed {
    fn new(kernels: Kernels, threads: i32, n: usize, k: usize, weights: &[i8]) -> Self {
        assert_eq!(weights.len(), n * k);
        let [n, k] = [n, k].map(size);
        // SAFETY: `weights` has n * k elements, as asserted.
        let packed = unsafe {
            foreign::halkspeech_pack_weights(kernels as i32, threads, n, k, weights.as_ptr())
        };
        assert!(!packed.is_null(), "CTranslate2's own function was called");
        Self(packed)
    }
}

impl Drop for Packed {
    fn drop(&mut self) {
        // SAFETY: the pointer is from `halkspeech_pack_weights` and is not used again.
        unsafe { foreign::halkspeech_drop_weights(self.0) };
    }
}

/// Number of threads and sizes `[m, n, k]` of products, the last ones with weights divided among threads.
const PACKED_PRODUCTS: [(i32, [usize; 3]); 9] = [
    (1, [1, 64, 64]),
    (1, [40, 512, 128]),
    (1, [7, 1000, 33]),
    (1, [130, 65, 2048]),
    (1, [13, 7, 2]),
    (2, [40, 512, 128]),
    (3, [5, 1000, 64]),
    (4, [1, 100, 33]),
    (100, [3, 6500, 16]),
];

#[track_caller]
fn check_packed_products(kernels: Kernels) {
    for (threads, [m, n, k]) in PACKED_PRODUCTS {
        let mut next = numbers();
        let activations: Vec<i8> = (0..m * k).map(|_| small(next())).collect();
        let weights: Vec<i8> = (0..n * k).map(|_| small(next())).collect();
        check_product(kernels, threads, m, &activations, &weights);
    }
}

#[track_caller]
fn check_product(kernels: Kernels, threads: i32, m: usize, activations: &[i8], weights: &[i8]) {
    let k = activations.len() / m;
    let n = weights.len() / k;
    let shifted: Vec<u8> = activations
        .iter()
        .map(|value| value.cast_unsigned() ^ 0x80)
        .collect();
    let compensation: Vec<i32> = weights
        .chunks(k)
        .map(|row| -128 * row.iter().map(|&weight| i32::from(weight)).sum::<i32>())
        .collect();
    let mut product = vec![i32::MIN; m * n];
    let packed = Packed::new(kernels, threads, n, k, weights);
    // SAFETY: every pointer is to a matrix of the size that is passed.
    unsafe {
        foreign::halkspeech_multiply_weights(
            packed.0,
            threads,
            size(m),
            shifted.as_ptr(),
            compensation.as_ptr(),
            product.as_mut_ptr(),
        );
    }
    for row in 0..m {
        for column in 0..n {
            let pairs = (0..k).map(|at| (activations[row * k + at], weights[column * k + at]));
            let expected: i32 = pairs.map(|(a, b)| i32::from(a) * i32::from(b)).sum();
            assert_eq!(
                product[row * n + column],
                expected,
                "{kernels:?}: [{row}, {column}]"
            );
        }
    }
}

#[test]
fn weights_are_packed_when_a_model_is_loaded() {
    // SAFETY: takes no pointers, reads only the CPU's features.
    assert_eq!(unsafe { foreign::halkspeech_packs_weights() }, can_pack());
}

#[test]
fn weights_packed_once_give_the_exact_product() {
    check_packed_products(Kernels::CTranslate2Default);
    check_packed_products(Kernels::OneDnn);
}

/// Pseudo-random bytes: mostly small ones, or only extreme ones if `often_large`.
fn bytes(length: usize, often_large: bool, mut next: impl FnMut() -> u32) -> Vec<i8> {
    let any = |next: u32| (next & 0xff).to_le_bytes()[0].cast_signed();
    (0..length)
        .map(|_| match next() % 16 {
            _ if often_large => [i8::MIN, -127, 127][next() as usize % 3],
            0 => any(next()),
            _ => small(next()),
        })
        .collect()
}

/// The kernels of this project, which do not overflow, including the default if it is one of them.
fn exact_kernels() -> &'static [Kernels] {
    let has_more = is_x86_feature_detected!("avx512bw") || is_x86_feature_detected!("avxvnni");
    if has_more {
        &[Kernels::Avx2]
    } else {
        &[Kernels::Avx2, Kernels::CTranslate2Default]
    }
}

fn gelu(x: f64) -> f64 {
    // erf by its series, which is exact enough up to 5.
    let z = x / std::f64::consts::SQRT_2;
    let (mut term, mut sum) = (z, z);
    for n in 1..150 {
        let n = f64::from(n);
        term *= -z * z / n;
        sum += term / 2.0_f64.mul_add(n, 1.0);
    }
    let erf = if z.abs() < 5.0 {
        sum * std::f64::consts::FRAC_2_SQRT_PI
    } else {
        z.signum()
    };
    0.5 * x * (1.0 + erf)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "the numbers are small"
)]
#[track_caller]
fn check_product_with_epilogue(
    threads: i32,
    [m, n, k]: [usize; 3],
    [has_gelu, has_bias_and_residual]: [bool; 2],
) {
    let mut next = numbers();
    let mut floats = |length: usize, max: f32| -> Vec<f32> {
        let float = |number: u32| (number as f32 / 32_768.0 - 1.0) * max;
        (0..length).map(|_| float(next())).collect()
    };
    let x = floats(m * k, 3.0);
    let bias = floats(n, 2.0);
    let residual = floats(m * n, 2.0);
    let scales: Vec<f32> = floats(n, 300.0).iter().map(|scale| 500.0 + scale).collect();
    let weights = bytes(n * k, false, numbers());
    let packed = Packed::new(Kernels::Avx2, threads, n, k, &weights);
    let mut y = vec![f32::NAN; m * n];
    // SAFETY: every pointer is to a matrix of the size that is passed.
    unsafe {
        foreign::halkspeech_multiply_with_epilogue(
            packed.0,
            threads,
            size(m),
            x.as_ptr(),
            scales.as_ptr(),
            if has_bias_and_residual {
                bias.as_ptr()
            } else {
                std::ptr::null()
            },
            has_gelu,
            if has_bias_and_residual {
                residual.as_ptr()
            } else {
                std::ptr::null()
            },
            y.as_mut_ptr(),
        );
    }
    for row in 0..m {
        let x_row = &x[row * k..][..k];
        let scale = 127.0 / x_row.iter().fold(0.0_f32, |max, x| max.max(x.abs()));
        for column in 0..n {
            let pairs = x_row.iter().zip(&weights[column * k..][..k]);
            let sum: i32 = pairs
                .map(|(x, &w)| (x * scale).round_ties_even() as i32 * i32::from(w))
                .sum();
            let mut expected = f64::from(sum) / f64::from(scale) / f64::from(scales[column]);
            expected += if has_bias_and_residual {
                f64::from(bias[column])
            } else {
                0.0
            };
            expected = if has_gelu { gelu(expected) } else { expected };
            expected += if has_bias_and_residual {
                f64::from(residual[row * n + column])
            } else {
                0.0
            };
            let result = f64::from(y[row * n + column]);
            assert!(
                (result - expected).abs() < 1e-5,
                "[{row}, {column}]: {result} is not {expected}"
            );
        }
    }
}

/// Width of a head.
const WIDTH: usize = 64;
/// Factor of the products of queries and keys.
const SCALE: f32 = 0.125;

/// Floats within ±4 that are exact in 16 bits.
fn halves(length: usize) -> Vec<f32> {
    let mut next = numbers();
    let half = |number: u32| f32::from(u16::try_from(number / 32).expect("small")) / 256.0 - 4.0;
    (0..length).map(|_| half(next())).collect()
}

/// Checks the attention of one row of queries of all heads to keys and values of all heads.
#[track_caller]
fn check_attention<'a>(
    query: &[f32],
    rows: &(impl Iterator<Item = (&'a [f32], &'a [f32])> + Clone),
    output: &[f32],
) {
    for head in 0..query.len() / WIDTH {
        let part = head * WIDTH..(head + 1) * WIDTH;
        let weight = |(keys, _): (&[f32], &[f32])| {
            let pairs = query[part.clone()].iter().zip(&keys[part.clone()]);
            let product: f64 = pairs.map(|(q, k)| f64::from(*q) * f64::from(*k)).sum();
            (f64::from(SCALE) * product).exp()
        };
        let weights: Vec<f64> = rows.clone().map(weight).collect();
        for column in part.clone() {
            let pairs = weights.iter().zip(rows.clone());
            let sum: f64 = pairs
                .map(|(weight, (_, values))| weight * f64::from(values[column]))
                .sum();
            let expected = sum / weights.iter().sum::<f64>();
            let result = output[column];
            assert!(
                (f64::from(result) - expected).abs() < 5e-5,
                "[{head}, {column}]: {result} is not {expected}"
            );
        }
    }
}

#[track_caller]
fn check_self_attention(threads: i32, batch: usize, heads: usize, n: usize) {
    let width = heads * WIDTH;
    let projected = halves(batch * n * 3 * width);
    let mut output = vec![f32::NAN; batch * n * width];
    // SAFETY: every pointer is to a matrix of the size that is passed.
    unsafe {
        foreign::halkspeech_self_attention(
            threads,
            size(batch),
            size(heads),
            size(n),
            size(WIDTH),
            SCALE,
            projected.as_ptr(),
            output.as_mut_ptr(),
        );
    }
    let windows = projected
        .chunks(n * 3 * width)
        .zip(output.chunks(n * width));
    for (projected, output) in windows {
        let rows = projected.chunks(3 * width).map(|row| {
            let (query, keys_and_values) = row.split_at(width);
            (query, keys_and_values.split_at(width))
        });
        for ((query, _), output) in rows.clone().zip(output.chunks(width)) {
            check_attention(query, &rows.clone().map(|(_, row)| row), output);
        }
    }
}

#[track_caller]
fn check_cross_attention(heads: usize, m: usize, n: usize) {
    let width = heads * WIDTH;
    let numbers = halves((m + 2 * n) * width);
    let (queries, projected) = numbers.split_at(m * width);
    let mut output = vec![f32::NAN; m * width];
    // SAFETY: every pointer is to a matrix of the size that is passed.
    unsafe {
        foreign::halkspeech_cross_attention(
            size(heads),
            size(m),
            size(n),
            size(WIDTH),
            SCALE,
            queries.as_ptr(),
            projected.as_ptr(),
            output.as_mut_ptr(),
        );
    }
    let rows = projected.chunks(2 * width).map(|row| row.split_at(width));
    for (query, output) in queries.chunks(width).zip(output.chunks(width)) {
        check_attention(query, &rows, output);
    }
}

#[track_caller]
fn check_attention_to_rows(heads: usize, n: usize) {
    let width = heads * WIDTH;
    let numbers = halves((1 + 2 * n) * width);
    let (query, projected) = numbers.split_at(width);
    let mut output = vec![f32::NAN; width];
    // SAFETY: every pointer is to a matrix of the size that is passed.
    unsafe {
        foreign::halkspeech_attend_to_rows(
            size(heads),
            size(n),
            size(WIDTH),
            SCALE,
            query.as_ptr(),
            projected.as_ptr(),
            output.as_mut_ptr(),
        );
    }
    let rows = projected.chunks(2 * width).map(|row| row.split_at(width));
    check_attention(query, &rows, &output);
}

#[test]
fn a_failed_product_is_detected() {
    with_failing_gemm(|fail_gemm| {
        let monitor = GemmMonitor::start();
        assert!(monitor.check().is_ok());

        fail_gemm();

        assert!(monitor.check().is_err());
        assert!(GemmMonitor::start().check().is_ok());
    });
}

/// Scores like a model's, some of them equal, some of suppressed tokens.
fn scores(length: usize) -> Vec<f32> {
    let mut next = numbers();
    let mut score = |_| match next() {
        number if number % 10 == 0 => f32::NEG_INFINITY,
        number => -f32::from(u16::try_from(number % 5000).expect("small")),
    };
    (0..length).map(&mut score).collect()
}

#[track_caller]
fn check_top_k(k: usize, scores: &[f32]) {
    let mut found = vec![-1; k];
    // SAFETY: `scores` has the length that is passed, and `found` has k elements.
    unsafe {
        foreign::halkspeech_top_k(
            size(k),
            size(scores.len()),
            scores.as_ptr(),
            found.as_mut_ptr(),
        );
    }
    let mut ordered: Vec<i32> = (0..).take(scores.len()).collect();
    let score = |id: &i32| scores[usize::try_from(*id).expect("an index")];
    ordered.sort_by(|a, b| score(b).total_cmp(&score(a)));
    assert_eq!(found, ordered[..k]);
}

mod needs_avx2 {
    use super::{
        Kernels, bytes, can_pack, check_attention_to_rows, check_cross_attention,
        check_packed_products, check_product, check_product_with_epilogue, check_self_attention,
        check_top_k, exact_kernels, numbers, scores,
    };

    /// The kernels of this project need AVX2 and FMA.
    fn assert_avx2() {
        assert!(can_pack(), "the processor has no AVX2 or no FMA");
    }

    #[test]
    #[ignore = "needs a processor with AVX2"]
    fn weights_packed_once_give_the_exact_product() {
        assert_avx2();
        check_packed_products(Kernels::Avx2);
    }

    #[test]
    #[ignore = "needs a processor with AVX2"]
    fn sums_of_exact_kernels_do_not_overflow() {
        assert_avx2();
        for &kernels in exact_kernels() {
            for [m, n, k] in [[1, 16, 32], [5, 33, 512], [11, 20, 1280], [3, 7, 50]] {
                for [large_activations, large_weights] in
                    [[false, false], [true, false], [false, true], [true, true]]
                {
                    let activations = bytes(m * k, large_activations, numbers());
                    let weights = bytes(n * k, large_weights, numbers());
                    for threads in [1, 3] {
                        check_product(kernels, threads, m, &activations, &weights);
                    }
                }
                // All of one sign: the largest sums.
                for [a, w] in [[127, 127], [-128, -128], [127, -128], [-128, 127]] {
                    check_product(kernels, 1, m, &vec![a; m * k], &vec![w; n * k]);
                }
            }
        }
    }

    #[test]
    #[ignore = "needs a processor with AVX2"]
    fn products_become_floats_with_bias_gelu_and_residual() {
        assert_avx2();
        for shape in [[1, 16, 32], [12, 100, 384], [5, 9, 50]] {
            for threads in [1, 2] {
                check_product_with_epilogue(threads, shape, [false, false]);
                check_product_with_epilogue(threads, shape, [true, false]);
                check_product_with_epilogue(threads, shape, [true, true]);
                check_product_with_epilogue(threads, shape, [false, true]);
            }
        }
    }

    #[test]
    #[ignore = "needs a processor with AVX2"]
    fn encoder_attention_matches_the_reference() {
        assert_avx2();
        check_self_attention(1, 1, 1, 1);
        check_self_attention(1, 1, 2, 40);
        check_self_attention(1, 1, 1, 250);
        check_self_attention(3, 2, 3, 25);
    }

    #[test]
    #[ignore = "needs a processor with AVX2"]
    fn decoder_attention_matches_the_reference() {
        assert_avx2();
        for (heads, m, n) in [(1, 1, 1), (2, 5, 250), (1, 6, 32), (3, 40, 17)] {
            check_cross_attention(heads, m, n);
        }
        for (heads, n) in [(1, 1), (2, 7), (1, 8), (3, 50)] {
            check_attention_to_rows(heads, n);
        }
    }

    #[test]
    #[ignore = "needs a processor with AVX2"]
    fn finds_the_most_probable_tokens_in_order() {
        assert_avx2();
        for length in [10, 31, 32, 50, 1000, 259_325] {
            for k in [1, 2, 10] {
                check_top_k(k, &scores(length));
            }
        }
        check_top_k(10, &[f32::NEG_INFINITY; 100]);
    }
}
