//! Tests of finding models on disk.

mod deletion;

use std::os::unix::fs::symlink;

use super::*;
use crate::models::test_files::{Fixture, lay_out, weights};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const OTHER: &str = "89abcdef0123456789abcdef0123456789abcdef";

fn store(root: &Path) -> Store {
    Store::new(root.join("models"), root.join("hub"))
}

fn names(root: &Path) -> Vec<String> {
    let models = store(root).list(&[]).unwrap();
    models.iter().map(|model| model.id.to_string()).collect()
}

/// Creates a model in the layout of the Hugging Face tools; `weights_blob` is its weights' blob name.
fn cache(root: &Path, repository: &str, commit: &str, weights_blob: &str) -> PathBuf {
    let repository = root.join("hub").join(repository);
    let snapshot = repository.join("snapshots").join(commit);
    let blobs = repository.join("blobs");
    let files = tempfile::tempdir().unwrap();
    lay_out(files.path(), &Fixture::default());
    fs::create_dir_all(&snapshot).unwrap();
    fs::create_dir_all(&blobs).unwrap();
    for (name, path) in entries(files.path()).unwrap() {
        let blob = if name == WEIGHTS {
            weights_blob.to_owned()
        } else {
            format!("of-{name}")
        };
        fs::copy(path, blobs.join(&blob)).unwrap();
        symlink(Path::new("../../blobs").join(blob), snapshot.join(name)).unwrap();
    }
    repository
}

fn write_ref(repository: &Path, name: &str, commit: &str) {
    let path = repository.join("refs").join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, commit).unwrap();
}

/// All paths below a folder, sorted.
fn tree(folder: &Path) -> Vec<String> {
    let mut all = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.is_symlink() {
                folders.push(path.clone());
            }
            all.push(
                path.strip_prefix(folder)
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .to_owned(),
            );
        }
    }
    all.sort();
    all
}

#[test]
fn lists_complete_models_of_both_layouts_with_their_sizes() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    lay_out(&root.join("models/base"), &Fixture::default());
    let large = Fixture {
        vocabulary_size: 51_866,
        ..Fixture::default()
    };
    lay_out(&root.join("models/owner/small"), &large);
    lay_out(&root.join("models/.fetch.x"), &Fixture::default());
    let repository = cache(root, "models--owner--turbo", COMMIT, "w");
    write_ref(&repository, "main", &format!("{COMMIT}\n"));
    cache(root, "models--a--b--c", COMMIT, "w");
    cache(root, "datasets--owner--turbo", COMMIT, "w");

    assert_eq!(names(root), ["base", "owner/small", "owner/turbo"]);
    let models = store(root).list(&[]).unwrap();
    assert_eq!(*models[0].languages, ["en"]);
    assert_eq!(*models[1].languages, ["en", "tr", "haw"]);
    assert_eq!(models[1].shape.vocabulary_size, 51_866);
    let size = |folder: &str| {
        tree(&root.join(folder))
            .iter()
            .map(|file| fs::metadata(root.join(folder).join(file)).unwrap().len())
            .sum::<u64>()
    };
    assert_eq!(models[0].size_bytes, size("models/base"));
    assert!(models[0].created > 1_600_000_000);
}

#[test]
fn incomplete_models_are_not_listed() {
    for file in files::required() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("models/half");
        lay_out(&folder, &Fixture::default());
        let missing = file.find(|name| folder.join(name).exists()).unwrap();
        fs::remove_file(folder.join(missing)).unwrap();
        assert_eq!(names(root.path()), [""; 0], "without {missing}");
        // A broken link counts as missing.
        symlink("nowhere", folder.join(missing)).unwrap();
        assert_eq!(names(root.path()), [""; 0], "with a broken link {missing}");
    }
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("models/copying");
    lay_out(&folder, &Fixture::default());
    let whole = weights(&Fixture::default());
    fs::write(folder.join(WEIGHTS), &whole[..whole.len() / 2]).unwrap();
    assert_eq!(names(root.path()), [""; 0]);
}

#[test]
fn a_damaged_model_is_logged_once_for_each_flaw() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("models/half");
    lay_out(&folder, &Fixture::default());
    let store = store(root.path());
    let log = root.path().join("log");
    let subscriber = tracing_subscriber::fmt()
        .with_writer(Arc::new(File::create(&log).unwrap()))
        .with_ansi(false)
        .finish();

    tracing::subscriber::with_default(subscriber, || {
        assert_eq!(store.list(&[]).unwrap().len(), 1);
        fs::remove_file(folder.join("config.json")).unwrap();
        assert!(store.list(&[]).unwrap().is_empty() && store.list(&[]).unwrap().is_empty());
        fs::write(folder.join("config.json"), "{}").unwrap();
        fs::write(folder.join(WEIGHTS), "").unwrap();
        assert!(store.list(&[]).unwrap().is_empty() && store.list(&[]).unwrap().is_empty());
    });

    let log = fs::read_to_string(log).unwrap();
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(lines.len(), 2, "{log}");
    assert!(
        lines[0].contains("WARN") && lines[0].contains("there is no config.json"),
        "{log}"
    );
    assert!(
        lines[1].contains("WARN") && lines[1].contains("model.bin: "),
        "{log}"
    );
}

#[test]
fn revisions_have_names() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    let repository = cache(root, "models--o--n", COMMIT, "w1");
    cache(root, "models--o--n", OTHER, "w2");
    assert_eq!(
        names(root),
        [format!("o/n@{COMMIT}"), format!("o/n@{OTHER}")]
    );
    write_ref(&repository, "main", COMMIT);
    write_ref(&repository, "refs/pr/1", OTHER);
    write_ref(&repository, "v1", COMMIT);
    assert_eq!(names(root), ["o/n", "o/n@refs/pr/1", "o/n@v1"]);
}

#[test]
fn a_folder_takes_precedence_over_the_cache() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    let repository = cache(root, "models--o--n", COMMIT, "w");
    write_ref(&repository, "main", COMMIT);
    lay_out(&root.join("models/o/n"), &Fixture::default());

    let models = store(root).list(&[]).unwrap();

    assert_eq!(models[0].id.as_str(), "o/n");
    assert_eq!(models[0].dir, root.join("models/o/n"));
}

#[test]
fn plain_folders_mounted_as_the_cache_are_models() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    lay_out(&root.join("hub/base"), &Fixture::default());
    lay_out(&root.join("hub/owner/small"), &Fixture::default());
    lay_out(&root.join("hub/.locks/tiny"), &Fixture::default());
    lay_out(&root.join("hub/datasets--o--n/tiny"), &Fixture::default());
    let repository = cache(root, "models--o--n", COMMIT, "w");
    write_ref(&repository, "main", COMMIT);
    lay_out(&root.join("models/base"), &Fixture::default());
    assert_eq!(names(root), ["base", "o/n", "owner/small"]);

    let models = store(root).list(&[]).unwrap();
    assert_eq!(models[0].dir, root.join("models/base"));
    store(root).delete(&models[2]).unwrap();
    assert_eq!(names(root), ["base", "o/n"]);
}

#[test]
fn known_models_are_not_read_again_until_they_change() {
    let root = tempfile::tempdir().unwrap();
    let store = store(root.path());
    let folder = root.path().join("models/base");
    lay_out(&folder, &Fixture::default());

    let first = store.list(&[]).unwrap();
    let second = store.list(&first).unwrap();
    lay_out(
        &folder,
        &Fixture {
            width: 4,
            ..Fixture::default()
        },
    );
    let third = store.list(&second).unwrap();

    assert!(Arc::ptr_eq(&first[0], &second[0]));
    assert_eq!(third[0].shape.width, 4);
}

#[test]
fn a_model_is_listed_once_its_vocabulary_is_copied_completely() {
    let root = tempfile::tempdir().unwrap();
    let store = store(root.path());
    let folder = root.path().join("models/base");
    let multilingual = Fixture {
        vocabulary_size: 51_865,
        ..Fixture::default()
    };
    lay_out(&folder, &multilingual);
    let vocabulary = fs::read(folder.join("vocabulary.json")).unwrap();
    fs::write(
        folder.join("vocabulary.json"),
        &vocabulary[..vocabulary.len() / 2],
    )
    .unwrap();

    let half = store.list(&[]).unwrap();
    fs::write(folder.join("vocabulary.json"), &vocabulary).unwrap();
    let whole = store.list(&half).unwrap();

    assert_eq!(half.len(), 0);
    assert_eq!(*whole[0].languages, ["en", "tr", "haw"]);
}

#[test]
fn a_change_of_a_small_file_is_detected() {
    let root = tempfile::tempdir().unwrap();
    let store = store(root.path());
    let folder = root.path().join("models/base");
    lay_out(&folder, &Fixture::default());

    let before = store.list(&[]).unwrap();
    fs::write(folder.join("tokenizer.json"), "{      }").unwrap();
    let after = store.list(&before).unwrap();

    assert_eq!(after[0].size_bytes, before[0].size_bytes + 6);
}

#[test]
fn reads_languages_from_vocabularies_of_either_format() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("models/base");
    let multilingual = Fixture {
        vocabulary_size: 51_865,
        ..Fixture::default()
    };
    lay_out(&folder, &multilingual);
    fs::remove_file(folder.join("vocabulary.json")).unwrap();
    let tokens = "a\n<|startoftranscript|>\n<|en|>\n<|yue|>\n<|jw|>\n<|nospeech|>\n<|0.00|>\n";
    fs::write(folder.join("vocabulary.txt"), tokens).unwrap();

    let models = store(root.path()).list(&[]).unwrap();

    assert_eq!(*models[0].languages, ["en", "yue", "jw"]);
}

#[test]
fn a_snapshot_without_a_free_name_is_named_by_its_commit() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    let repository = cache(root, "models--o--n", COMMIT, "w1");
    cache(root, "models--o--n", OTHER, "w2");
    write_ref(&repository, "main", COMMIT);
    write_ref(&repository, "feature+x", OTHER);
    lay_out(&root.join("models/o/n"), &Fixture::default());

    let by_commit = [COMMIT, OTHER].map(|commit| format!("o/n@{commit}"));
    assert_eq!(names(root), [&["o/n".to_owned()][..], &by_commit].concat());

    // An incomplete model does not take the name.
    fs::remove_file(root.join("models/o/n").join(WEIGHTS)).unwrap();
    assert_eq!(names(root), ["o/n", &by_commit[1]]);
}

#[test]
fn links_among_the_branches_are_ignored() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    let repository = cache(root, "models--o--n", COMMIT, "w");
    write_ref(&repository, "main", COMMIT);
    symlink(".", repository.join("refs/a")).unwrap();
    symlink(".", repository.join("refs/b")).unwrap();

    assert_eq!(names(root), ["o/n"]);
}
