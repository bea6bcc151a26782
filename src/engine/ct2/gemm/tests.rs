//! Products, and what is made of them, against plain references.

use super::{Products, foreign, while_products_are_given_up};

/// Numbers that look like none in particular, the same every time.
fn numbers() -> impl FnMut() -> u32 {
    let mut state = 1_u32;
    move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state >> 16
    }
}

/// Small enough that no kernel saturates, whatever its instructions are.
fn small(number: u32) -> i8 {
    i8::try_from(number % 31).expect("small") - 15
}

fn can_pack() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
}

/// Which kernels multiply by packed weights.
#[derive(Clone, Copy, Debug)]
enum Kernels {
    ThatCTranslate2Gets = 0,
    OfOneDnn = 1,
    ForAvx2 = 2,
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
        // SAFETY: the weights have the size that is given.
        let packed = unsafe {
            foreign::halkspeech_pack_weights(kernels as i32, threads, n, k, weights.as_ptr())
        };
        assert!(!packed.is_null(), "CTranslate2's own function was called");
        Self(packed)
    }
}

impl Drop for Packed {
    fn drop(&mut self) {
        // SAFETY: they are used no more.
        unsafe { foreign::halkspeech_drop_weights(self.0) };
    }
}

#[track_caller]
fn packed_product_is_exact(threads: i32, m: usize, n: usize, k: usize) {
    let mut next = numbers();
    let activations: Vec<i8> = (0..m * k).map(|_| small(next())).collect();
    let weights: Vec<i8> = (0..n * k).map(|_| small(next())).collect();
    product_is_exact(
        Kernels::ThatCTranslate2Gets,
        threads,
        m,
        &activations,
        &weights,
    );
    product_is_exact(Kernels::OfOneDnn, threads, m, &activations, &weights);
    if can_pack() {
        product_is_exact(Kernels::ForAvx2, threads, m, &activations, &weights);
    }
}

#[track_caller]
fn product_is_exact(kernels: Kernels, threads: i32, m: usize, activations: &[i8], weights: &[i8]) {
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
    // SAFETY: the matrices have the sizes that are given.
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
            let right: i32 = pairs.map(|(a, b)| i32::from(a) * i32::from(b)).sum();
            assert_eq!(
                product[row * n + column],
                right,
                "{kernels:?}: [{row}, {column}]"
            );
        }
    }
}

#[test]
fn weights_are_packed_when_a_model_is_loaded() {
    // SAFETY: it reads what the processor can.
    assert_eq!(unsafe { foreign::halkspeech_packs_weights() }, can_pack());
}

#[test]
fn weights_packed_once_give_the_exact_product() {
    packed_product_is_exact(1, 1, 64, 64);
    packed_product_is_exact(1, 40, 512, 128);
    packed_product_is_exact(1, 7, 1000, 33);
    packed_product_is_exact(1, 130, 65, 2048);
    packed_product_is_exact(1, 13, 7, 2);
}

#[test]
fn weights_are_divided_among_threads() {
    packed_product_is_exact(2, 40, 512, 128);
    packed_product_is_exact(3, 5, 1000, 64);
    packed_product_is_exact(4, 1, 100, 33);
    packed_product_is_exact(100, 3, 6500, 16);
}

/// Bytes of any size, most of them small or all of them as large as can be.
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

/// Those that nothing overflows in, where they are what CTranslate2 gets, and where not.
fn ours() -> &'static [Kernels] {
    let has_more = is_x86_feature_detected!("avx512bw") || is_x86_feature_detected!("avxvnni");
    match (can_pack(), has_more) {
        (true, false) => &[Kernels::ForAvx2, Kernels::ThatCTranslate2Gets],
        (true, true) => &[Kernels::ForAvx2],
        (false, _) => &[],
    }
}

#[test]
fn no_sum_of_ours_overflows() {
    for &kernels in ours() {
        for [m, n, k] in [[1, 16, 32], [5, 33, 512], [11, 20, 1280], [3, 7, 50]] {
            for [large_activations, large_weights] in
                [[false, false], [true, false], [false, true], [true, true]]
            {
                let activations = bytes(m * k, large_activations, numbers());
                let weights = bytes(n * k, large_weights, numbers());
                for threads in [1, 3] {
                    product_is_exact(kernels, threads, m, &activations, &weights);
                }
            }
            // All of one sign, which is the worst for sums.
            for [a, w] in [[127, 127], [-128, -128], [127, -128], [-128, 127]] {
                product_is_exact(kernels, 1, m, &vec![a; m * k], &vec![w; n * k]);
            }
        }
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
fn finished_product_is_right(threads: i32, [m, n, k]: [usize; 3], [gelus, adds]: [bool; 2]) {
    let mut next = numbers();
    let mut floats = |length: usize, most: f32| -> Vec<f32> {
        let float = |number: u32| (number as f32 / 32_768.0 - 1.0) * most;
        (0..length).map(|_| float(next())).collect()
    };
    let x = floats(m * k, 3.0);
    let bias = floats(n, 2.0);
    let residual = floats(m * n, 2.0);
    let scales: Vec<f32> = floats(n, 300.0).iter().map(|scale| 500.0 + scale).collect();
    let weights = bytes(n * k, false, numbers());
    let packed = Packed::new(Kernels::ForAvx2, threads, n, k, &weights);
    let mut y = vec![f32::NAN; m * n];
    // SAFETY: the matrices have the sizes that are given.
    unsafe {
        foreign::halkspeech_multiply_and_finish(
            packed.0,
            threads,
            size(m),
            x.as_ptr(),
            scales.as_ptr(),
            if adds {
                bias.as_ptr()
            } else {
                std::ptr::null()
            },
            gelus,
            if adds {
                residual.as_ptr()
            } else {
                std::ptr::null()
            },
            y.as_mut_ptr(),
        );
    }
    for row in 0..m {
        let of_x = &x[row * k..][..k];
        let scale = 127.0 / of_x.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
        for column in 0..n {
            let pairs = of_x.iter().zip(&weights[column * k..][..k]);
            let sum: i32 = pairs
                .map(|(x, &w)| (x * scale).round_ties_even() as i32 * i32::from(w))
                .sum();
            let mut right = f64::from(sum) / f64::from(scale) / f64::from(scales[column]);
            right += if adds { f64::from(bias[column]) } else { 0.0 };
            right = if gelus { gelu(right) } else { right };
            right += if adds {
                f64::from(residual[row * n + column])
            } else {
                0.0
            };
            let result = f64::from(y[row * n + column]);
            assert!(
                (result - right).abs() < 1e-5,
                "[{row}, {column}]: {result} is not {right}"
            );
        }
    }
}

#[test]
fn products_become_floats_with_bias_gelu_and_residual() {
    if !can_pack() {
        return;
    }
    for shape in [[1, 16, 32], [12, 100, 384], [5, 9, 50]] {
        for threads in [1, 2] {
            finished_product_is_right(threads, shape, [false, false]);
            finished_product_is_right(threads, shape, [true, false]);
            finished_product_is_right(threads, shape, [true, true]);
            finished_product_is_right(threads, shape, [false, true]);
        }
    }
}

/// Width of a head.
const WIDTH: usize = 64;
/// What products of queries and keys are multiplied by.
const SCALE: f32 = 0.125;

/// Floats within ±4, which 16 bits hold exactly.
fn halves(length: usize) -> Vec<f32> {
    let mut next = numbers();
    let half = |number: u32| f32::from(u16::try_from(number / 32).expect("small")) / 256.0 - 4.0;
    (0..length).map(|_| half(next())).collect()
}

/// Checks what one row of all heads makes of keys and values of all heads.
#[track_caller]
fn attention_is_right<'a>(
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
            let right = sum / weights.iter().sum::<f64>();
            let result = output[column];
            assert!(
                (f64::from(result) - right).abs() < 5e-5,
                "[{head}, {column}]: {result} is not {right}"
            );
        }
    }
}

#[track_caller]
fn self_attention_is_right(threads: i32, batch: usize, heads: usize, n: usize) {
    let width = heads * WIDTH;
    let projected = halves(batch * n * 3 * width);
    let mut output = vec![f32::NAN; batch * n * width];
    // SAFETY: the matrices have the sizes that are given.
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
        let parted = projected.chunks(3 * width).map(|row| {
            let (query, keys_and_values) = row.split_at(width);
            (query, keys_and_values.split_at(width))
        });
        for ((query, _), output) in parted.clone().zip(output.chunks(width)) {
            attention_is_right(query, &parted.clone().map(|(_, row)| row), output);
        }
    }
}

#[track_caller]
fn attention_to_a_window_is_right(heads: usize, m: usize, n: usize) {
    let width = heads * WIDTH;
    let numbers = halves((m + 2 * n) * width);
    let (queries, projected) = numbers.split_at(m * width);
    let mut output = vec![f32::NAN; m * width];
    // SAFETY: the matrices have the sizes that are given.
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
        attention_is_right(query, &rows, output);
    }
}

#[track_caller]
fn attention_to_rows_is_right(heads: usize, n: usize) {
    let width = heads * WIDTH;
    let numbers = halves((1 + 2 * n) * width);
    let (query, projected) = numbers.split_at(width);
    let mut output = vec![f32::NAN; width];
    // SAFETY: the matrices have the sizes that are given.
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
    attention_is_right(query, &rows, &output);
}

#[test]
fn attention_of_an_encoder_is_right() {
    if !can_pack() {
        return;
    }
    self_attention_is_right(1, 1, 1, 1);
    self_attention_is_right(1, 1, 2, 40);
    self_attention_is_right(1, 1, 1, 250);
    self_attention_is_right(3, 2, 3, 25);
}

#[test]
fn attention_of_a_decoder_is_right() {
    if !can_pack() {
        return;
    }
    for (heads, m, n) in [(1, 1, 1), (2, 5, 250), (1, 6, 32), (3, 40, 17)] {
        attention_to_a_window_is_right(heads, m, n);
    }
    for (heads, n) in [(1, 1), (2, 7), (1, 8), (3, 50)] {
        attention_to_rows_is_right(heads, n);
    }
}

#[test]
fn a_product_that_is_given_up_is_known() {
    while_products_are_given_up(|give_up| {
        let products = Products::watch();
        assert!(products.check().is_ok());

        give_up();

        assert!(products.check().is_err());
        assert!(Products::watch().check().is_ok());
    });
}

/// Scores as a model gives them, with some that are equal and some that may not be taken.
fn scores(length: usize) -> Vec<f32> {
    let mut next = numbers();
    let mut score = |_| match next() {
        number if number % 10 == 0 => f32::NEG_INFINITY,
        number => -f32::from(u16::try_from(number % 5000).expect("small")),
    };
    (0..length).map(&mut score).collect()
}

#[track_caller]
fn finds_the_largest(k: usize, scores: &[f32]) {
    let mut found = vec![-1; k];
    // SAFETY: there are so many scores, and room for so many numbers.
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

#[test]
fn the_likeliest_tokens_are_found_in_order() {
    if !can_pack() {
        return;
    }
    for length in [10, 31, 32, 50, 1000, 259_325] {
        for k in [1, 2, 10] {
            finds_the_largest(k, &scores(length));
        }
    }
    finds_the_largest(10, &[f32::NEG_INFINITY; 100]);
}
