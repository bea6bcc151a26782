use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::{DOCUMENT, FILES, PAGE, PAGE_POLICY};

/// Limit on the size of all files, compressed.
const MAX_BYTES: usize = 120_000;
/// sha256 of dist/wavesurfer.esm.js in wavesurfer.js 8.0.1 of the npm registry.
const WAVESURFER_SHA256: &str = "079f3b142f37737f975b03ea8fd18652a316dc2120a2629aeca0844a0c08f2b1";

fn text(name: &str) -> &'static str {
    let found = FILES.iter().find(|(path, ..)| *path == name);
    std::str::from_utf8(found.unwrap().2).unwrap()
}

/// The modules of the project.
fn own_scripts() -> impl Iterator<Item = (&'static str, &'static str)> {
    let names = FILES.iter().map(|(name, ..)| *name);
    let own = names.filter(|name| name.ends_with(".js") && !name.starts_with("vendor/"));
    own.map(|name| (name, text(name)))
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits = (0..3).fold(0, |bits, index| {
            (bits << 8) | u32::from(*chunk.get(index).unwrap_or(&0))
        });
        for index in 0..4 {
            let digit = DIGITS[((bits >> (18 - 6 * index)) & 63) as usize] as char;
            text.push(if index <= chunk.len() { digit } else { '=' });
        }
    }
    text
}

#[test]
fn every_file_of_the_folder_is_served() {
    fn collect(folder: &Path, prefix: &str, found: &mut BTreeSet<String>) {
        for entry in folder.read_dir().unwrap() {
            let entry = entry.unwrap();
            let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
            if entry.path().is_dir() {
                collect(&entry.path(), &format!("{name}/"), found);
            } else {
                found.insert(name);
            }
        }
    }
    let mut found = BTreeSet::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http/page");
    collect(&folder, "", &mut found);
    for other in [
        "index.html",
        "package.json",
        "tests.rs",
        "vendor/wavesurfer.LICENSE",
    ] {
        assert!(found.remove(other), "{other}");
    }
    let served: BTreeSet<String> = FILES.iter().map(|(name, ..)| (*name).to_owned()).collect();
    assert_eq!(served, found);
}

#[test]
fn the_page_is_small() {
    let bytes: usize = PAGE.values().map(super::StaticFile::gzip_len).sum();
    assert!(bytes < MAX_BYTES, "{bytes} bytes");
}

#[test]
fn modules_are_short() {
    for (name, text) in own_scripts().filter(|(name, _)| !name.starts_with("i18n/")) {
        let lines = text.lines().count();
        assert!(lines < 300, "{name} has {lines} lines");
    }
}

#[test]
fn text_from_outside_never_becomes_markup() {
    for (name, text) in own_scripts() {
        for unsafe_name in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "new Function",
            "DOMParser",
            "srcdoc",
        ] {
            assert!(!text.contains(unsafe_name), "{name} has {unsafe_name}");
        }
    }
}

#[test]
fn nothing_is_loaded_from_elsewhere() {
    let document = std::str::from_utf8(DOCUMENT).unwrap();
    let styles = [text("page.css"), text("transcript.css")];
    let all = own_scripts().map(|(_, text)| text);
    for text in all.chain(styles).chain([document]) {
        // The namespace of SVG is a name, not an address.
        let text = text.replace("http://www.w3.org/2000/svg", "");
        for foreign in ["http://", "https://", "src=\"//", "@import"] {
            assert!(!text.contains(foreign), "{foreign}");
        }
    }
    for inline in ["<style", "<script>", " style=", " onclick="] {
        assert!(!document.contains(inline), "{inline}");
    }
}

#[test]
fn the_library_is_the_published_one() {
    let mut hash = String::new();
    for byte in Sha256::digest(text("vendor/wavesurfer.js")) {
        write!(hash, "{byte:02x}").unwrap();
    }
    assert_eq!(hash, WAVESURFER_SHA256);
}

/// The policy allows exactly the style element that the library writes at the height of the page.
#[test]
fn the_policy_has_the_hash_of_the_style_of_the_waveform() {
    let player = text("player.js");
    let height = player.split_once("const HEIGHT = ").unwrap().1;
    let height = height.split_once(';').unwrap().0;
    let library = text("vendor/wavesurfer.js");
    let element = library.split_once("<style").unwrap().1;
    let style = element.split_once("\"\"}>").unwrap().1;
    let style = style.split_once("</style>").unwrap().0;
    let (before, rest) = style.split_once("${").unwrap();
    let (_, after) = rest.split_once('}').unwrap();
    assert!(!after.contains("${"), "{after}");
    // The text of a template literal, in which line ends are escaped.
    let style = format!("{before}{height}{after}").replace("\\n", "\n");

    let hash = base64(&Sha256::digest(style));

    assert!(PAGE_POLICY.contains(&format!("'sha256-{hash}'")), "{hash}");
}
