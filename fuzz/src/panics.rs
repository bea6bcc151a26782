//! Panics that the server catches, and those it should never see.

use std::collections::HashSet;
use std::panic::{PanicHookInfo, set_hook};
use std::process::abort;
use std::sync::{Mutex, PoisonError};

/// Lets the panics of dependencies be caught, as the server catches those of its decoders, and tells of
/// each place once. libFuzzer's hook ends the process at any panic; this one does at ours.
pub fn let_dependencies_panic() {
    let told = Mutex::new(HashSet::new());
    set_hook(Box::new(move |panic| {
        if !is_in_a_dependency(panic) {
            eprintln!("{panic}");
            abort();
        }
        let place = panic.location().map(ToString::to_string);
        let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.insert(place) {
            eprintln!("caught: {panic}");
        }
    }));
}

/// cargo keeps the sources of dependencies in its registry.
fn is_in_a_dependency(panic: &PanicHookInfo<'_>) -> bool {
    let file = panic.location().map_or("", |location| location.file());
    file.contains("/registry/src/")
}
