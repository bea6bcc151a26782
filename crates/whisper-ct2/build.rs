//! Compiles the C++ and CUDA files of the engine against the CTranslate2 headers in ct2rs. With the feature `generate` it
//! makes the linker replace some functions of CTranslate2 and oneDNN.
//!
//! Link arguments reach only the targets of this package. A package that links the engine into programs or tests reads
//! the names from `DEP_HALKSPEECH_CT2_REPLACED` and `DEP_HALKSPEECH_CT2_REPLACED_WEAK`, and passes the same arguments.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

const ENCODINGS: &str = "cpp/encodings.cc";
const ENCODER: &str = "cpp/encoder.cc";
const LOGITS: &str = "cpp/logits.cc";
const GEMM: &str = "cpp/gemm";
const CUDA: &str = "cpp/cuda";
const RUNNER: &str = "cpp/runner";
/// The runner's code for GPUs: kernels and their callers.
const RUNNER_CUDA: &str = "cpp/runner/cuda";

/// The files of [`GEMM`], without their extensions.
const KERNELS: [&str; 8] = [
    "gemm",
    "decoder",
    "layers",
    "attention",
    "topk",
    "int8_activations",
    "int8_avx2",
    "int8_onednn",
];

/// The GPU code in [`CUDA`], without extensions: kernels, and their callers.
const CUDA_KERNELS: [&str; 6] = [
    "attention",
    "dense",
    "flash_attention",
    "flash_attention_sm90",
    "layer_norm",
    "logits",
];
const CUDA_CALLERS: [&str; 2] = ["decoder", "rows"];

/// Functions that [`CUDA`] replaces. CTranslate2's are weak symbols, for which a linker does not search archives, so
/// that `--undefined` has to name their replacements.
const REPLACED_CUDA: [&str; 2] = [
    "_ZNK11ctranslate23ops9LayerNorm7computeILNS_6DeviceE1EN10half_float4halfEEEvPKNS_11StorageViewES8_RS7_llllRS6_",
    "_ZNK11ctranslate23ops7BiasAdd7computeILNS_6DeviceE1EN10half_float4halfEEEvRKNS_11StorageViewES8_RS6_PS7_",
];

/// The function that [`ENCODER`] replaces, by its mangled name.
const REPLACED_ENCODER: &str = "_ZN11ctranslate26layers14WhisperEncoderclERKNS_11StorageViewERS2_";

/// Functions that [`GEMM`] replaces: CTranslate2's, by their mangled names, and oneDNN's.
const REPLACED: [&str; 12] = [
    "dnnl_sgemm",
    "dnnl_gemm_u8s8s32",
    "dnnl_gemm_s8s8s32",
    "_ZN11ctranslate23cpu17pack_gemm_weightsENS_11ComputeTypeE",
    "_ZN11ctranslate210primitivesILNS_6DeviceE0EE11gemm_pack_bIaEElPKT_bllfPS4_",
    "_ZN11ctranslate210primitivesILNS_6DeviceE0EE11gemm_pack_bIfEElPKT_bllfPS4_",
    "_ZN11ctranslate210primitivesILNS_6DeviceE0EE4gemmIaiEEvbbbblllfPKT_lS6_lfPT0_lPKS7_",
    "_ZNK11ctranslate26layers5DenseclERKNS_11StorageViewERS2_PS3_",
    "_ZNK11ctranslate26layers23TransformerEncoderLayerclERKNS_11StorageViewEPS3_RS2_PKNS_6PadderEPS2_",
    "_ZN11ctranslate26layers18TransformerDecoder6decodeERKNS_11StorageViewEPS3_lRSt13unordered_mapINSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEES2_St4hashISC_ESt8equal_toISC_ESaISt4pairIKSC_S2_EEEPS2_SN_b",
    "_ZN11ctranslate26layers18TransformerDecoderclElRKNS_11StorageViewERSt13unordered_mapINSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEES2_St4hashISB_ESt8equal_toISB_ESaISt4pairIKSB_S2_EEEPS2_SM_",
    "_ZNK11ctranslate23ops4TopKclERKNS_11StorageViewERS2_S5_",
];

/// The function that [`LOGITS`] replaces. Its other functions override weak symbols.
const REPLACED_LOGITS: &str = "_ZN11ctranslate214SuppressTokensC1ESt6vectorImSaImEE";

fn main() {
    println!("cargo:rerun-if-changed={ENCODINGS}");
    println!("cargo:rerun-if-changed={ENCODER}");
    println!("cargo:rerun-if-changed={LOGITS}");
    println!("cargo:rerun-if-changed={GEMM}");
    println!("cargo:rerun-if-changed={CUDA}");
    println!("cargo:rerun-if-changed=../../Cargo.lock");
    let ctranslate2 = ct2rs_folder().join("CTranslate2");
    let version = ctranslate2_version(&ctranslate2);
    println!("cargo:rustc-env=HALKSPEECH_CTRANSLATE2={version}");
    if variable("CARGO_FEATURE_GENERATE").is_none() {
        return compile_runner(&ctranslate2);
    }
    let mut build = cc::Build::new();
    build
        .cpp(true)
        .std("c++17")
        .include(ctranslate2.join("include"))
        // The headers of CTranslate2 have unused parameters.
        .flag_if_supported("-Wno-unused-parameter")
        // The layers of CTranslate2 that are replaced keep their weights private.
        .flag("-fno-access-control")
        .file(ENCODINGS)
        .file(ENCODER)
        .file(LOGITS);
    let mut replaced = vec![REPLACED_ENCODER, REPLACED_LOGITS];
    if required_variable("CARGO_CFG_TARGET_ARCH") == "x86_64" {
        for name in KERNELS {
            build.file(format!("{GEMM}/{name}.cc"));
        }
        build.flag("-fopenmp").opt_level(3);
        replaced.extend(REPLACED);
    }
    if variable("CARGO_FEATURE_CUDA").is_some() {
        build.define("HALKSPEECH_CUDA", None);
        for name in CUDA_CALLERS {
            build.file(format!("{CUDA}/{name}.cc"));
        }
        for name in CUDA_KERNELS {
            let source = Path::new(CUDA).join(format!("{name}.cu"));
            build.object(compile_for_gpus(&source, &ctranslate2));
        }
        replaced.extend(REPLACED_CUDA);
        for name in REPLACED_CUDA {
            println!("cargo:rustc-link-arg=-Wl,--undefined=__wrap_{name}");
        }
        println!("cargo:replaced_weak={}", REPLACED_CUDA.join(" "));
    }
    build.compile("halkspeech_ct2");
    for name in &replaced {
        println!("cargo:rustc-link-arg=-Wl,--wrap={name}");
    }
    println!("cargo:replaced={}", replaced.join(" "));
    write_replaced(&replaced);
}

/// Compiles the runner, which replaces no function.
fn compile_runner(ctranslate2: &Path) {
    println!("cargo:rerun-if-changed={RUNNER}");
    let mut build = cc::Build::new();
    build
        .cpp(true)
        .std("c++17")
        .include(ctranslate2.join("include"))
        .include(RUNNER)
        .flag_if_supported("-Wno-unused-parameter")
        .flag("-fopenmp")
        // A product and a sum are rounded one after the other, in every kernel alike.
        .flag("-ffp-contract=off")
        .opt_level(3);
    for folder in ["", "model", "kernels", "kernels/cpu"] {
        build.files(sources(&Path::new(RUNNER).join(folder), "cc"));
    }
    let has_cuda = variable("CARGO_FEATURE_CUDA_RUNNER").is_some();
    if has_cuda {
        println!("cargo:rerun-if-changed={CUDA}");
        build
            .define("HALKSPEECH_CUDA_RUNNER", None)
            .include(cuda_toolkit().join("include"))
            .files(sources(Path::new(RUNNER_CUDA), "cc"));
        for source in sources(Path::new(RUNNER_CUDA), "cu") {
            build.object(compile_for_gpus(&source, ctranslate2));
        }
    }
    build.compile("halkspeech_runner");
    if has_cuda {
        // The runtime is in the program; the driver is opened when it is first used.
        let libraries = cuda_toolkit().join("lib64");
        println!("cargo:rustc-link-search=native={}", libraries.display());
        for library in ["static=cudart_static", "dl", "rt", "pthread"] {
            println!("cargo:rustc-link-lib={library}");
        }
    }
    println!("cargo:replaced=");
}

/// The files of a folder with an extension.
fn sources(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("the folders of the runner are there");
    let paths = entries.map(|entry| entry.expect("the folder can be read").path());
    let mut sources: Vec<PathBuf> = paths
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    sources.sort();
    sources
}

/// Writes the list of replaced functions for `src/replaced.rs`.
fn write_replaced(names: &[&str]) {
    let mut list = String::from("replaced_functions![\n");
    for name in names {
        writeln!(list, "    \"{name}\" => \"__wrap_{name}\",").expect("a string takes any text");
    }
    list.push_str("]\n");
    let path = Path::new(&required_variable("OUT_DIR")).join("replaced.rs");
    std::fs::write(path, list).expect("OUT_DIR is writable");
}

/// The folder of the CUDA toolkit that ct2rs is configured with.
fn cuda_toolkit() -> PathBuf {
    const TOOLKITS: [&str; 3] = ["CUDA_PATH", "CUDA_ROOT", "CUDA_TOOLKIT_ROOT_DIR"];
    for name in TOOLKITS {
        println!("cargo:rerun-if-env-changed={name}");
    }
    let toolkit = TOOLKITS.into_iter().find_map(variable);
    PathBuf::from(toolkit.unwrap_or_else(|| "/usr/local/cuda".to_owned()))
}

/// Compiles a CUDA file with the toolkit and for the GPUs that ct2rs is configured with.
fn compile_for_gpus(source: &Path, ctranslate2: &Path) -> PathBuf {
    println!("cargo:rerun-if-env-changed=CUDA_ARCH_LIST");
    let toolkit = cuda_toolkit();
    let architectures = variable("CUDA_ARCH_LIST").unwrap_or_else(|| "8.0;8.6;8.9;9.0".to_owned());
    let name = source.file_stem().expect("a file has a name");
    let object = Path::new(&required_variable("OUT_DIR"))
        .join(name)
        .with_extension("o");

    let mut nvcc = Command::new(toolkit.join("bin/nvcc"));
    nvcc.args(["-std=c++17", "-O3", "--expt-relaxed-constexpr", "-w"])
        .args(["-Xcompiler=-fPIC", "-DHALKSPEECH_CUDA"])
        // One thread for each architecture.
        .arg("--threads=0")
        .arg("-c")
        .arg(source)
        .arg("-o")
        .arg(&object);
    let architectures = architectures.split([';', ',', ' ']);
    for architecture in architectures.filter(|architecture| !architecture.is_empty()) {
        let mut number = architecture.trim_end_matches("+PTX").replace('.', "");
        if number == "90" {
            // With the instructions that only this architecture has.
            number.push('a');
        }
        nvcc.arg(format!("-gencode=arch=compute_{number},code=sm_{number}"));
    }
    let mut folders = vec![
        "include",
        "third_party/cutlass/include",
        "third_party/thrust/cub",
        "third_party/thrust/thrust",
        "third_party/thrust/libcudacxx/include",
    ];
    if source.starts_with(CUDA) {
        // CTranslate2's stream, which is not in its public headers.
        folders.push("src");
    }
    for folder in folders {
        nvcc.arg("-I").arg(ctranslate2.join(folder));
    }
    let status = nvcc.status().expect("the CUDA toolkit has nvcc");
    assert!(
        status.success(),
        "nvcc could not compile {}",
        source.display()
    );
    object
}

#[expect(
    clippy::disallowed_methods,
    reason = "cargo passes everything to a build script by the environment"
)]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// A variable that cargo always sets.
fn required_variable(name: &str) -> String {
    variable(name).expect("cargo sets it for build scripts")
}

/// The folder with the sources of ct2rs, which has no `links` key to provide it.
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

/// The version that CTranslate2's CMakeLists.txt reads as well, from `__version__ = "4.8.4"`.
fn ctranslate2_version(folder: &Path) -> String {
    let path = folder.join("python/ctranslate2/version.py");
    let text = std::fs::read_to_string(path).expect("ct2rs brings CTranslate2's version.py");
    let assignment = text.lines().find(|line| line.starts_with("__version__"));
    let version = assignment.and_then(|line| line.split('"').nth(1));
    version.expect("version.py assigns __version__").to_owned()
}

/// # Errors
/// The output of cargo.
fn metadata(flags: &[&str]) -> Result<serde_json::Value, String> {
    let output = Command::new(required_variable("CARGO"))
        .args(["metadata", "--format-version=1", "--locked"])
        .args(["--filter-platform", &required_variable("TARGET")])
        .args(flags)
        .output()
        .map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())
}
