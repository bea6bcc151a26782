//! The text of `--version`.

use halkspeech_whisper_ct2::CTRANSLATE2_VERSION;

/// The version, the commit of the sources, the features and the version of CTranslate2, one per line.
/// `-V` prints the first line only. An absent or empty `commit` is printed as `unknown`.
pub fn text(commit: Option<&str>) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let commit = commit.filter(|commit| !commit.is_empty());
    let commit = commit.unwrap_or("unknown");
    let features = if cfg!(feature = "cuda-runner") {
        "cuda-runner"
    } else if cfg!(feature = "cuda") {
        "cuda"
    } else {
        "none"
    };
    format!("{version}\ncommit: {commit}\nfeatures: {features}\nCTranslate2: {CTRANSLATE2_VERSION}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(commit: Option<&str>, expected: &str) {
        let text = text(commit);
        let lines: Vec<&str> = text.lines().collect();
        let [version, commit, features, ctranslate2] = lines[..] else {
            panic!("not four lines: {text}");
        };
        assert_eq!(version, env!("CARGO_PKG_VERSION"));
        assert_eq!(commit, format!("commit: {expected}"));
        let (cuda, runner) = (cfg!(feature = "cuda"), cfg!(feature = "cuda-runner"));
        assert_eq!(features == "features: cuda", cuda, "{features}");
        assert_eq!(features == "features: cuda-runner", runner, "{features}");
        assert_eq!(features == "features: none", !cuda && !runner, "{features}");
        let number = ctranslate2.strip_prefix("CTranslate2: ").unwrap();
        let numbers: Vec<&str> = number.split('.').collect();
        let parsed = |number: &&str| number.parse::<u32>().is_ok();
        assert!(numbers.len() == 3 && numbers.iter().all(parsed), "{number}");
    }

    #[test]
    fn prints_version_commit_features_and_ctranslate2() {
        check(Some("0123456789ab"), "0123456789ab");
        check(Some("0123456789ab-dirty"), "0123456789ab-dirty");
    }

    #[test]
    fn a_build_without_a_commit_prints_unknown() {
        check(None, "unknown");
        check(Some(""), "unknown");
    }
}
