//! Activation functions of the networks.

/// The hyperbolic tangent with an error below 4e-7.
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    2.0 * sigmoid(2.0 * x) - 1.0
}

/// The logistic function with an error below 2e-7, in a form that the compiler vectorises.
#[inline(always)]
pub fn sigmoid(x: f32) -> f32 {
    // Adding this rounds to an integer, which is then in the lowest bits of the sum.
    const ROUNDING: f32 = 12_582_912.0;
    // e^-x = 2^power = 2^whole * e^rest, the last by its Taylor series: rest is at most ln 2 / 2.
    let power = (-x).clamp(-87.0, 87.0) * std::f32::consts::LOG2_E;
    let whole = power + ROUNDING;
    let rest = (power - (whole - ROUNDING)) * std::f32::consts::LN_2;
    let mut series = 1.0 / 720.0;
    for coefficient in [1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        series = series * rest + coefficient;
    }
    // Adding to the exponent of a float multiplies it by a power of two.
    1.0 / (1.0 + f32::from_bits(series.to_bits().wrapping_add(whole.to_bits() << 23)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equals_the_functions_of_the_standard_library() {
        for step in -2_000..=2_000 {
            let x = step as f32 * 0.05;
            let expected = 1.0 / (1.0 + f64::from(-x).exp());
            assert!((f64::from(sigmoid(x)) - expected).abs() < 2e-7, "{x}");
            assert!(
                (f64::from(tanh(x)) - f64::from(x).tanh()).abs() < 4e-7,
                "{x}"
            );
        }
    }
}
