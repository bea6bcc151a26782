//! How many live sessions a server takes.

use std::num::NonZeroUsize;

use super::engine_layout;
use crate::config::Settings;
use crate::models::StoredModel;

/// Parameters of a model per core and live session: two sessions per core with base, which has 74 million. An
/// estimate: the speed of an engine is not known at the start.
const PARAMETERS_PER_CORE: u64 = 150_000_000;

/// The most live sessions at a time: as configured, else as many as the cores can follow with the default model.
pub fn max_sessions(settings: &Settings, default_model: Option<&StoredModel>) -> NonZeroUsize {
    let configured = NonZeroUsize::new(settings.live.max_sessions);
    configured.unwrap_or_else(|| sessions_of_cores(default_model))
}

/// The live sessions that the cores of this machine can follow with a model, by an estimate.
pub fn sessions_of_cores(model: Option<&StoredModel>) -> NonZeroUsize {
    let parameters = model.map(|model| model.shape.parameters);
    estimate(engine_layout::cores(), parameters)
}

/// A session per core for a model of unknown size.
fn estimate(cores: usize, parameters: Option<u64>) -> NonZeroUsize {
    let parameters = parameters.unwrap_or(PARAMETERS_PER_CORE).max(1);
    let sessions = PARAMETERS_PER_CORE.saturating_mul(cores as u64) / parameters;
    NonZeroUsize::new(sessions as usize).unwrap_or(NonZeroUsize::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_follow_the_cores_and_the_size_of_the_model() {
        for (cores, parameters, expected) in [
            (2, Some(74_000_000), 4),
            (2, Some(39_000_000), 7),
            (16, Some(809_000_000), 2),
            (2, Some(1_550_000_000), 1),
            (4, None, 4),
        ] {
            let sessions = estimate(cores, parameters).get();
            assert_eq!(sessions, expected, "{cores} cores, {parameters:?}");
        }
    }
}
