//! Random numbers of a draw, computed from its place instead of drawn in an order.
//!
//! A number depends on the seed, window, attempt, hypothesis, position and token only. A text is therefore the
//! same in any batch, after a restart and on every device. The definition is in integers and in single
//! operations of IEEE 754 in 32 bits, so that any device computes the same bits; a device must not
//! contract a product and a sum to one operation.
//!
//! - `mix` is the finalizer of `SplitMix64` (Steele, Lea, Flood 2014).
//! - A key is folded from 0 and its parts, `key = mix((key ^ part) + GAMMA)`: seed, window, attempt, hypothesis, position.
//! - The bits of a token are the output number `token` of the `SplitMix64` generator with that key:
//!   `mix(key + (token + 1) * GAMMA)`.
//! - The upper 23 bits `n` make `u = (n + 0.5) * 2^-23`, exact in 32 bits and never 0 or 1.
//! - The noise of a token is `-ln(-ln(u))`, of the Gumbel distribution, between -2.82 and 16.64; [`ln`] is
//!   defined here.
//!
//! The drawn token has the greatest `log_prob * (1 / temperature) + noise`, of equal ones the first
//! (Gumbel-max). Its probability is that of the softmax of `log_prob / temperature`.

use super::options::Token;

/// 2^64 divided by the golden ratio, odd.
const GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;

/// The key of all random numbers of one text: `seed` is the caller's, or a hash of audio and options;
/// `window` is the index of the window in its recording, `attempt` that of the search of this window.
#[must_use]
pub fn random_stream(seed: u64, window: u64, attempt: u64) -> u64 {
    [seed, window, attempt].into_iter().fold(0, fold)
}

/// The key of one draw: of the hypothesis with this index among those of a text, for the token at this
/// position of the text.
#[must_use]
pub fn draw_key(stream: u64, hypothesis: u64, position: u64) -> u64 {
    [hypothesis, position].into_iter().fold(stream, fold)
}

/// The noise that a draw adds to the scaled log probability of a token.
#[must_use]
pub fn gumbel_noise(key: u64, token: Token) -> f32 {
    let bits = mix(key.wrapping_add((u64::from(token) + 1).wrapping_mul(GAMMA)));
    let uniform = ((bits >> 41) as f32 + 0.5) * f32::powi(0.5, 23);
    -ln(-ln(uniform))
}

fn fold(key: u64, part: u64) -> u64 {
    mix((key ^ part).wrapping_add(GAMMA))
}

fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}

/// The natural logarithm of a positive normal number within 2 units in the last place (Cephes' `logf`), in a fixed
/// order of single operations.
fn ln(x: f32) -> f32 {
    const COEFFICIENTS: [f32; 9] = [
        7.037_683_6e-2,
        -1.151_461e-1,
        1.167_699_9e-1,
        -1.242_014_1e-1,
        1.424_932_3e-1,
        -1.666_805_7e-1,
        2.000_071_5e-1,
        -2.499_999_4e-1,
        3.333_333e-1,
    ];
    // x = mantissa * 2^exponent, with the mantissa between the roots of 1/2 and 2.
    let bits = x.to_bits();
    let mut exponent = (bits >> 23) as i32 - 126;
    let mut mantissa = f32::from_bits((bits & 0x007F_FFFF) | 0x3F00_0000);
    if mantissa < std::f32::consts::FRAC_1_SQRT_2 {
        exponent -= 1;
        mantissa += mantissa;
    }
    let exponent = exponent as f32;
    let m = mantissa - 1.0;
    let square = m * m;
    let mut y = COEFFICIENTS[0];
    for coefficient in &COEFFICIENTS[1..] {
        y = y * m + coefficient;
    }
    y = y * m * square;
    // ln 2 in two parts, of which the first has few bits.
    y += exponent * -2.121_944_4e-4;
    y -= 0.5 * square;
    (m + y) + exponent * 0.693_359_4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_logarithm_is_exact_to_two_units() {
        let mut x = f32::powi(0.5, 24);
        while x < 20.0 {
            let exact = f64::from(x).ln();
            let error = (f64::from(ln(x)) - exact).abs();
            let unit = f64::from(f32::EPSILON) * exact.abs().max(f64::from(f32::MIN_POSITIVE));
            assert!(error <= 2.0 * unit, "ln({x}) is {}, not {exact}", ln(x));
            x *= 1.000_07;
        }
        assert_eq!(ln(1.0), 0.0);
    }

    /// Other implementations are held to these numbers.
    #[test]
    fn keys_and_noise_are_those_of_the_definition() {
        // The first outputs of SplitMix64 with seed 0, as published with its reference implementation.
        assert_eq!(mix(GAMMA), 0xE220_A839_7B1D_CDAF);
        assert_eq!(mix(GAMMA.wrapping_mul(2)), 0x6E78_9E6A_A1B9_65F4);
        let stream = random_stream(1, 2, 3);
        let key = draw_key(stream, 4, 5);
        let noise = [0, 1, 50257, 51864].map(|token| gumbel_noise(key, token).to_bits());
        assert_eq!(
            (stream, key, noise),
            (
                15_020_427_595_393_229_491,
                10_429_045_597_182_185_950,
                [1_067_172_062, 1_074_350_309, 1_074_752_708, 3_208_739_478]
            )
        );
    }

    #[test]
    fn every_part_changes_the_key() {
        let key = |seed, window, attempt, hypothesis, position| {
            draw_key(random_stream(seed, window, attempt), hypothesis, position)
        };
        let keys = [
            key(0, 0, 0, 0, 0),
            key(1, 0, 0, 0, 0),
            key(0, 1, 0, 0, 0),
            key(0, 0, 1, 0, 0),
            key(0, 0, 0, 1, 0),
            key(0, 0, 0, 0, 1),
        ];
        for (index, key) in keys.iter().enumerate() {
            assert!(!keys[..index].contains(key), "{index}");
        }
    }

    #[test]
    fn noise_is_gumbel_distributed() {
        let noise = |draw| f64::from(gumbel_noise(draw_key(7, 0, draw), 3));
        let draws = 20_000;
        let mean = (0..draws).map(noise).sum::<f64>() / draws as f64;
        let variance = (0..draws)
            .map(|draw| (noise(draw) - mean).powi(2))
            .sum::<f64>()
            / draws as f64;
        // Euler's constant, and a sixth of the square of pi.
        assert!((mean - 0.5772).abs() < 0.04, "{mean}");
        assert!((variance - 1.6449).abs() < 0.1, "{variance}");
    }
}
