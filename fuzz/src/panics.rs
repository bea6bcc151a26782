//! Distinguishes panics of dependencies, which the server catches, from its own.

use std::collections::HashSet;
use std::panic::{PanicHookInfo, set_hook};
use std::process::abort;
use std::sync::{Mutex, PoisonError};

/// Sets a panic hook that reports each panic location of a dependency once and aborts at any other panic;
/// the server catches panics of its decoders. libFuzzer's hook would abort at every panic.
pub fn allow_panics_of_dependencies() {
    let reported = Mutex::new(HashSet::new());
    set_hook(Box::new(move |panic| {
        if !is_in_dependency(panic) {
            eprintln!("{panic}");
            abort();
        }
        let location = panic.location().map(ToString::to_string);
        let mut reported = reported.lock().unwrap_or_else(PoisonError::into_inner);
        if reported.insert(location) {
            eprintln!("caught: {panic}");
        }
    }));
}

/// Whether the panic is in cargo's registry, which contains the sources of dependencies.
fn is_in_dependency(panic: &PanicHookInfo<'_>) -> bool {
    let file = panic.location().map_or("", |location| location.file());
    file.contains("/registry/src/")
}
