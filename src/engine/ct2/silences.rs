//! Encodings of silence, made once, which windows are continued with.

use std::cell::RefCell;
use std::rc::Rc;

use ct2rs::sys::StorageView;

use crate::engine::EngineError;
use crate::features::{Features, WINDOW_FRAMES};

/// Values of silence in log-mel features: it lies eight decades below the loudest of a window, so
/// faint windows have a low one. That of a window is one of these, or near one.
const LEVELS: [f32; 4] = [-1.5, -1.0, -0.75, -0.5];

/// An encoding of 30 s of silence for each level, made when it is first wanted.
#[derive(Default)]
pub(super) struct Silences(RefCell<[Option<Rc<StorageView<'static>>>; LEVELS.len()]>);

impl Silences {
    /// Silence like that behind `features`; `encode` is given row-major `[n_mels, frames]`.
    pub(super) fn like(
        &self,
        features: &Features,
        encode: impl FnOnce(&mut [f32], usize) -> Result<StorageView<'static>, EngineError>,
    ) -> Result<Rc<StorageView<'static>>, EngineError> {
        let level = nearest_level(features.silence());
        if let Some(encoded) = &self.0.borrow()[level] {
            return Ok(Rc::clone(encoded));
        }
        let mut values = vec![LEVELS[level]; features.n_mels * WINDOW_FRAMES];
        let encoded = Rc::new(encode(&mut values, WINDOW_FRAMES)?);
        self.0.borrow_mut()[level] = Some(Rc::clone(&encoded));
        Ok(encoded)
    }
}

fn nearest_level(silence: f32) -> usize {
    let distance = |&level: &usize| (LEVELS[level] - silence).abs();
    let nearest = (0..LEVELS.len()).min_by(|a, b| distance(a).total_cmp(&distance(b)));
    nearest.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faint_windows_have_a_low_silence() {
        assert_eq!(nearest_level(-1.4), 0);
        assert_eq!(nearest_level(-0.9), 1);
        assert_eq!(nearest_level(-0.69), 2);
        assert_eq!(nearest_level(0.1), 3);
    }
}
