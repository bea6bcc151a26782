//! Bounds the live sessions, and counts those that are open.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::caller::Caller;
use crate::http::error::LiveError;

/// The places of live sessions.
#[derive(Debug)]
pub struct SessionPlaces {
    state: Mutex<State>,
    /// The number of open sessions.
    open: watch::Sender<usize>,
}

#[derive(Debug)]
struct State {
    limit: NonZeroUsize,
    /// Sessions by caller; callers without one are absent.
    held: HashMap<Caller, usize>,
}

/// The place of a session; dropping it frees the place.
#[derive(Debug)]
pub struct SessionPlace {
    places: Arc<SessionPlaces>,
    caller: Caller,
}

impl SessionPlaces {
    /// Places for `limit` sessions.
    pub fn new(limit: NonZeroUsize) -> Self {
        Self {
            state: Mutex::new(State {
                limit,
                held: HashMap::new(),
            }),
            open: watch::Sender::new(0),
        }
    }

    /// The limit.
    pub fn limit(&self) -> usize {
        self.state().limit.get()
    }

    /// Takes a place.
    ///
    /// # Errors
    /// All places are taken, or the caller has half of them.
    pub fn take(self: &Arc<Self>, caller: Caller) -> Result<SessionPlace, LiveError> {
        let mut state = self.state();
        let limit = state.limit.get();
        if *self.open.borrow() >= limit {
            return Err(LiveError::TooManySessions { limit });
        }
        let share = limit.div_ceil(2);
        let held = state.held.entry(caller).or_default();
        if *held >= share {
            return Err(LiveError::SessionShareExceeded { share });
        }
        *held += 1;
        self.open.send_modify(|open| *open += 1);
        Ok(SessionPlace {
            places: Arc::clone(self),
            caller,
        })
    }

    /// Completes when no session is open.
    pub async fn all_free(&self) {
        // The sender lives as long as `self`.
        let mut open = self.open.subscribe();
        let _closed = open.wait_for(|open| *open == 0).await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No statement under the lock leaves the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for SessionPlace {
    fn drop(&mut self) {
        let mut state = self.places.state();
        if let Some(held) = state.held.get_mut(&self.caller) {
            *held -= 1;
            if *held == 0 {
                state.held.remove(&self.caller);
            }
        }
        self.places.open.send_modify(|open| *open -= 1);
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::poll;

    use super::*;

    fn places(limit: usize) -> Arc<SessionPlaces> {
        Arc::new(SessionPlaces::new(NonZeroUsize::new(limit).unwrap()))
    }

    #[test]
    fn one_caller_gets_half() {
        let places = places(3);
        let [alice, bob] = [0, 1].map(Caller::Key);
        let held = [places.take(alice).unwrap(), places.take(alice).unwrap()];
        let refused = places.take(alice).unwrap_err();
        assert!(matches!(
            refused,
            LiveError::SessionShareExceeded { share: 2 }
        ));
        let last = places.take(bob).unwrap();
        for caller in [alice, bob] {
            let refused = places.take(caller).unwrap_err();
            assert!(matches!(refused, LiveError::TooManySessions { limit: 3 }));
        }

        drop(last);
        assert!(places.take(alice).is_err());
        drop(held);
        assert!(places.state().held.is_empty());
        places.take(alice).unwrap();
    }

    #[test]
    fn a_single_place_can_be_taken() {
        let places = places(1);
        let _place = places.take(Caller::LOCAL).unwrap();
        assert!(places.take(Caller::Key(0)).is_err());
    }

    #[tokio::test]
    async fn the_drain_waits_for_the_last_session() {
        let places = places(2);
        places.all_free().await;
        let place = places.take(Caller::LOCAL).unwrap();
        let mut all_free = pin!(places.all_free());
        assert!(poll!(&mut all_free).is_pending());

        drop(place);

        all_free.await;
    }
}
