//! Tests of deleting models.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::{COMMIT, OTHER, cache, names, store, tree, write_ref};
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
fn of_a_linked_folder_only_the_link_is_removed() {
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
fn of_linked_files_only_the_links_are_removed() {
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
fn files_behind_a_linked_owner_folder_are_not_deleted() {
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
    write_ref(&repository, "main", COMMIT);
    write_ref(&repository, "refs/pr/1", COMMIT);

    delete(root, "o/n");

    assert_eq!(tree(&root.join("hub")), [""; 0]);
}

#[test]
fn files_shared_with_another_revision_are_kept() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    let repository = cache(root, "models--o--n", COMMIT, "w1");
    cache(root, "models--o--n", OTHER, "w2");
    write_ref(&repository, "main", COMMIT);
    write_ref(&repository, "v1", OTHER);
    fs::write(
        repository.join("snapshots").join(COMMIT).join("README.md"),
        "theirs",
    )
    .unwrap();

    delete(root, "o/n");

    assert_eq!(names(root), ["o/n@v1"]);
    let remaining = tree(&repository);
    for (path, is_kept) in [
        ("blobs/w1", false),
        ("blobs/w2", true),
        ("blobs/of-config.json", true),
    ] {
        assert_eq!(remaining.iter().any(|file| file == path), is_kept, "{path}");
    }
    // Another file keeps the snapshot, and thereby the branch.
    assert!(remaining.iter().any(|file| file.ends_with("README.md")));
    assert!(repository.join("refs/main").exists());
}

#[test]
fn links_out_of_the_repository_are_not_followed() {
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
fn blobs_linked_from_a_subfolder_are_kept() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    let repository = cache(root, "models--o--n", COMMIT, "w");
    write_ref(&repository, "main", COMMIT);
    let below = repository.join("snapshots").join(COMMIT).join("int8");
    fs::create_dir(&below).unwrap();
    symlink("../../../blobs/of-config.json", below.join("config.json")).unwrap();

    delete(root, "o/n");

    assert!(below.join("config.json").is_file());
    assert!(!repository.join("blobs/w").exists());
}

#[test]
fn a_snapshot_outside_the_repository_is_not_deleted() {
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
fn blobs_outside_the_repository_are_not_deleted() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    let repository = cache(root, "models--o--n", COMMIT, "w");
    write_ref(&repository, "main", COMMIT);
    fs::rename(repository.join("blobs"), root.join("elsewhere")).unwrap();
    symlink(root.join("elsewhere"), repository.join("blobs")).unwrap();
    let before = tree(&root.join("elsewhere"));

    delete(root, "o/n");

    assert_eq!(tree(&root.join("elsewhere")), before);
    assert_eq!(names(root), [""; 0]);
}

#[test]
fn a_repository_may_be_a_link_to_another_disk() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    let repository = cache(root, "models--o--n", COMMIT, "w");
    write_ref(&repository, "main", COMMIT);
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
    write_ref(&repository, "main", COMMIT);

    delete(root, "o/n");

    assert_eq!(tree(&root.join("hub")), [""; 0]);
}
