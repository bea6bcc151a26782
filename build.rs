//! Makes the linker replace functions of CTranslate2 and oneDNN in the program, the tests and the benchmarks: link
//! arguments of a build script reach only the targets of its own package, so `crates/whisper-ct2` passes the names on.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // Without the engine there is nothing to replace.
    if variable("CARGO_FEATURE_CT2").is_none() {
        return;
    }
    let replaced = variable("DEP_HALKSPEECH_CT2_REPLACED");
    let replaced = replaced.expect("the build script of crates/whisper-ct2 lists the functions");
    for name in replaced.split_whitespace() {
        println!("cargo:rustc-link-arg=-Wl,--wrap={name}");
    }
    // Only in a build with CUDA.
    let replaced_weak = variable("DEP_HALKSPEECH_CT2_REPLACED_WEAK").unwrap_or_default();
    for name in replaced_weak.split_whitespace() {
        println!("cargo:rustc-link-arg=-Wl,--undefined=__wrap_{name}");
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "cargo passes everything to a build script by the environment"
)]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
