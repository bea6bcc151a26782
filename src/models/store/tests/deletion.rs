//! What is left after a deletion.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::{COMMIT, OTHER, cache, names, point, store, tree};
use crate::models::store::{StoreError, entries};
use crate::models::test_files::{Fixture, lay_out};

fn delete(root: &Path, name: &str) {
    let store = store(root);
    let models = store.list(&[]).unwrap();
    let model = models
        .iter()
        .find(|model| model.id.as_str() == name)
        .unwrap();
    store.delete(model).unwrap();
}

#[test]
fn deletes_a_folder_model_and_nothing_else() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    lay_out(&root.join("models/o/n"), &Fixture::default());
    lay_out(&root.join("models/base"), &Fixture::default());
    fs::write(root.join("models/base/notes.md"), "mine").unwrap();

    delete(root, "o/n");
    delete(root, "base");

    assert_eq!(tree(&root.join("models")), ["base", "base/notes.md"]);
}

#[test]
fn of_a_linked_folder_the_link_is_removed_and_nothing_behind_it() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    lay_out(&root.join("elsewhere"), &Fixture::default());
    fs::create_dir_all(root.join("models/o")).unwrap();
    symlink(root.join("elsewhere"), root.join("models/base")).unwrap();
    symlink("../../elsewhere", root.join("models/o/n")).unwrap();
    let before = tree(&root.join("elsewhere"));

    delete(root, "base");
    delete(root, "o/n");

    assert_eq!(tree(&root.join("elsewhere")), before);
    assert_eq!(tree(&root.join("models")), [""; 0]);
}

#[test]
fn a_linked_file_loses_its_link_and_nothing_behind_it() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    lay_out(&root.join("elsewhere"), &Fixture::default());
    fs::create_dir_all(root.join("models/base")).unwrap();
    for (name, path) in entries(&root.join("elsewhere")).unwrap() {
        symlink(path, root.join("models/base").join(name)).unwrap();
    }
    let before = tree(&root.join("elsewhere"));

    delete(root, "base");

    assert_eq!(tree(&root.join("elsewhere")), before);
    assert_eq!(tree(&root.join("models")), [""; 0]);
}

#[test]
fn nothing_behind_the_link_of_an_owner_is_deleted() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    lay_out(&root.join("elsewhere/n"), &Fixture::default());
    fs::create_dir(root.join("models")).unwrap();
    symlink(root.join("elsewhere"), root.join("models/o")).unwrap();
    let before = tree(root);

    let store = store(root);
    let models = store.list(&[]).unwrap();
    let error = store.delete(&models[0]).unwrap_err();

    assert!(matches!(error, StoreError::BehindLink { .. }), "{error}");
    assert_eq!(tree(root), before);
}

#[test]
fn deletes_a_repository_of_the_cache() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    let repository = cache(root, "models--o--n", COMMIT, "w");
    point(&repository, "main", COMMIT);
    point(&repository, "refs/pr/1", COMMIT);

    delete(root, "o/n");

    assert_eq!(tree(&root.join("hub")), [""; 0]);
}

#[test]
fn a_revision_keeps_what_it_shares() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    let repository = cache(root, "models--o--n", COMMIT, "w1");
    cache(root, "models--o--n", OTHER, "w2");
    point(&repository, "main", COMMIT);
    point(&repository, "v1", OTHER);
    fs::write(
        repository.join("snapshots").join(COMMIT).join("README.md"),
        "theirs",
    )
    .unwrap();

    delete(root, "o/n");

    assert_eq!(names(root), ["o/n@v1"]);
    let left = tree(&repository);
    for (path, stays) in [
        ("blobs/w1", false),
        ("blobs/w2", true),
        ("blobs/of-config.json", true),
    ] {
        assert_eq!(left.iter().any(|left| left == path), stays, "{path}");
    }
    // What is not the model's keeps its snapshot, and so its branch.
    assert!(left.iter().any(|left| left.ends_with("README.md")));
    assert!(repository.join("refs/main").exists());
}

#[test]
fn no_link_out_of_the_repository_is_followed() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    lay_out(&root.join("elsewhere"), &Fixture::default());
    let snapshot = root.join("hub/models--o--n/snapshots").join(COMMIT);
    fs::create_dir_all(&snapshot).unwrap();
    for (name, path) in entries(&root.join("elsewhere")).unwrap() {
        symlink(path, snapshot.join(name)).unwrap();
    }
    let before = tree(&root.join("elsewhere"));

    delete(root, &format!("o/n@{COMMIT}"));

    assert_eq!(tree(&root.join("elsewhere")), before);
    assert!(!snapshot.exists());
}

#[test]
fn a_file_in_a_folder_below_keeps_what_it_shares() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    let repository = cache(root, "models--o--n", COMMIT, "w");
    point(&repository, "main", COMMIT);
    let below = repository.join("snapshots").join(COMMIT).join("int8");
    fs::create_dir(&below).unwrap();
    symlink("../../../blobs/of-config.json", below.join("config.json")).unwrap();

    delete(root, "o/n");

    assert!(below.join("config.json").is_file());
    assert!(!repository.join("blobs/w").exists());
}

#[test]
fn a_snapshot_that_lies_elsewhere_is_not_deleted() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    lay_out(&root.join("elsewhere"), &Fixture::default());
    let repository = root.join("hub/models--o--n");
    fs::create_dir_all(repository.join("snapshots")).unwrap();
    symlink(
        root.join("elsewhere"),
        repository.join("snapshots").join(COMMIT),
    )
    .unwrap();
    let before = tree(root);

    let store = store(root);
    let models = store.list(&[]).unwrap();

    let error = store.delete(&models[0]).unwrap_err();
    assert!(matches!(error, StoreError::BehindLink { .. }), "{error}");
    assert_eq!(tree(root), before);
}

#[test]
fn blobs_that_lie_elsewhere_are_not_deleted() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    let repository = cache(root, "models--o--n", COMMIT, "w");
    point(&repository, "main", COMMIT);
    fs::rename(repository.join("blobs"), root.join("elsewhere")).unwrap();
    symlink(root.join("elsewhere"), repository.join("blobs")).unwrap();
    let before = tree(&root.join("elsewhere"));

    delete(root, "o/n");

    assert_eq!(tree(&root.join("elsewhere")), before);
    assert_eq!(names(root), [""; 0]);
}

#[test]
fn a_repository_may_lie_on_another_disk() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    let repository = cache(root, "models--o--n", COMMIT, "w");
    point(&repository, "main", COMMIT);
    fs::rename(&repository, root.join("elsewhere")).unwrap();
    symlink(root.join("elsewhere"), &repository).unwrap();

    delete(root, "o/n");

    assert_eq!(tree(&root.join("elsewhere")), [""; 0]);
}

#[test]
fn deletes_a_cache_without_links() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    let repository = root.join("hub/models--o--n");
    let snapshot = repository.join("snapshots").join(COMMIT);
    lay_out(&snapshot, &Fixture::default());
    point(&repository, "main", COMMIT);

    delete(root, "o/n");

    assert_eq!(tree(&root.join("hub")), [""; 0]);
}
