//! Checks that the linker has replaced functions of CTranslate2 and oneDNN by those in `cpp/`.
#![expect(unsafe_code, reason = "the functions are foreign")]

use std::hint::black_box;

/// The names of the functions with the address that their callers use, and the address of the replacement.
macro_rules! replaced_functions {
    ($($name:literal => $replacement:literal,)*) => {
        [$({
            // Only their addresses are used, so their parameters are left out.
            unsafe extern "C" {
                #[link_name = $name]
                fn called();
                #[link_name = $replacement]
                fn replacement();
            }
            ($name, called as *const (), replacement as *const ())
        }),*]
    };
}

/// The mangled names of the functions that should be replaced and are not; empty in a correctly linked program.
///
/// The linker replaces them if it is called with `--wrap` for each, which every package with a program or a test has
/// to print from its own build script (`build.rs`). Without it CTranslate2 works, but slowly, and failed matrix products
/// are not noticed.
#[must_use]
pub fn unreplaced_functions() -> Vec<&'static str> {
    let functions = include!(concat!(env!("OUT_DIR"), "/replaced.rs"));
    functions
        .into_iter()
        // A compiler may assume that two functions have two addresses.
        .filter(|&(_, called, replacement)| black_box(called) != black_box(replacement))
        .map(|(name, ..)| name)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_linker_has_replaced_every_function() {
        assert_eq!(unreplaced_functions(), [""; 0]);
    }
}
