//! Compiles the one C++ file of the engine against the CTranslate2 headers that ct2rs brings.

use std::path::{Path, PathBuf};
use std::process::Command;

const SOURCE: &str = "src/engine/ct2/encodings.cc";

fn main() {
    println!("cargo:rerun-if-changed={SOURCE}");
    println!("cargo:rerun-if-changed=Cargo.lock");
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .include(ct2rs_folder().join("CTranslate2/include"))
        // Its headers are not ours to keep clean.
        .flag_if_supported("-Wno-unused-parameter")
        .file(SOURCE)
        .compile("halkspeech_encodings");
}

/// Where cargo keeps the sources of ct2rs; it has no `links` key that would say so.
fn ct2rs_folder() -> PathBuf {
    let metadata = metadata(&["--offline"]).or_else(|_| metadata(&[]));
    let metadata = metadata.expect("cargo metadata lists the packages of this build");
    let packages = metadata["packages"].as_array();
    let manifest = packages
        .into_iter()
        .flatten()
        .find(|package| package["name"] == "ct2rs")
        .and_then(|package| package["manifest_path"].as_str());
    let manifest = manifest.expect("Cargo.toml depends on ct2rs");
    Path::new(manifest)
        .parent()
        .expect("a manifest lies in a folder")
        .to_owned()
}

/// # Errors
/// What cargo printed.
#[expect(
    clippy::disallowed_methods,
    reason = "cargo tells a build script everything by the environment"
)]
fn metadata(flags: &[&str]) -> Result<serde_json::Value, String> {
    let variable = |name: &str| std::env::var(name).expect("cargo sets it for build scripts");
    let output = Command::new(variable("CARGO"))
        .args(["metadata", "--format-version=1", "--locked"])
        .args(["--filter-platform", &variable("TARGET")])
        .args(flags)
        .output()
        .map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())
}
