//! Simulates clients whose requests hold a permit for two seconds each, in virtual time.

use super::*;

const LIMIT: usize = 16;
const HOLD: Duration = Duration::from_secs(2);
const STEP: Duration = Duration::from_millis(10);

/// What a client does after a refusal.
#[derive(Clone, Copy, Debug, PartialEq)]
enum ClientBehavior {
    /// Returns at the time named in the refusal.
    ReturnsOnTime,
    /// Returns every 20 ms.
    ReturnsEarly,
    /// Sends another request instead, every 100 ms.
    NeverReturns,
}

/// A client with its current request.
struct SimulatedClient {
    behavior: ClientBehavior,
    request: u64,
    attempts: usize,
    max_attempts: usize,
    served: usize,
    refused_at: Option<Instant>,
    /// When it sends its request, or, if it has held a permit since `entry`, when it is answered.
    next: Instant,
    entry: Option<Instant>,
}

/// Clients send one request after the other, each on its own connection. `recordings` is the number
/// of requests that look different.
fn simulate(
    behaviors: &[(ClientBehavior, usize)],
    time: Duration,
    recordings: u64,
) -> Vec<SimulatedClient> {
    let start = Instant::now();
    let mut turnover = Turnover::new(LIMIT, start);
    let mut returns = ExpectedReturns::new(LIMIT);
    let behaviors = behaviors
        .iter()
        .flat_map(|(behavior, count)| std::iter::repeat_n(*behavior, *count));
    let mut clients: Vec<SimulatedClient> = behaviors
        .enumerate()
        .map(|(number, behavior)| SimulatedClient {
            behavior,
            request: number as u64 * 1_000_003,
            attempts: 0,
            max_attempts: 0,
            served: 0,
            refused_at: None,
            next: start + STEP * (number % 10) as u32,
            entry: None,
        })
        .collect();
    let mut taken = 0;
    let mut now = start;
    while now < start + time {
        for client in clients.iter_mut().filter(|client| client.next <= now) {
            if let Some(entry) = client.entry.take() {
                turnover.leave(entry, now);
                taken -= 1;
                client.served += 1;
                client.request += 1;
                client.attempts = 0;
                client.next = now + STEP;
                continue;
            }
            let attempt = Attempt {
                is_hasty: client.refused_at.is_some_and(|at| now < at + HASTY_WITHIN),
                ..attempt(client.request % recordings)
            };
            client.attempts += 1;
            client.max_attempts = client.max_attempts.max(client.attempts);
            let reserved = returns.reserved(attempt, &turnover, now, |_| LIMIT);
            if taken + reserved < LIMIT {
                returns.enter(attempt, now);
                turnover.enter(now);
                taken += 1;
                client.entry = Some(now);
                client.next = now + HOLD;
                continue;
            }
            let wait = returns.refuse(attempt, &turnover, now);
            client.refused_at = Some(now);
            client.next = match client.behavior {
                ClientBehavior::ReturnsOnTime => now + wait,
                ClientBehavior::ReturnsEarly => now + Duration::from_millis(20),
                ClientBehavior::NeverReturns => {
                    client.request += 1;
                    now + Duration::from_millis(100)
                }
            };
        }
        now += STEP;
    }
    clients
}

fn attempt(request: u64) -> Attempt {
    Attempt {
        caller: Caller::Key(0),
        request,
        is_first: false,
        is_hasty: false,
    }
}

fn served(clients: &[SimulatedClient], behavior: ClientBehavior) -> usize {
    let of_kind = clients.iter().filter(|client| client.behavior == behavior);
    of_kind.map(|client| client.served).sum()
}

#[test]
fn a_punctual_client_is_served_within_six_attempts() {
    for callers in [17, 48, 128] {
        let clients = simulate(
            &[(ClientBehavior::ReturnsOnTime, callers)],
            Duration::from_secs(60),
            u64::MAX,
        );

        let max = clients.iter().map(|client| client.max_attempts).max();
        assert!(max <= Some(6), "{callers}: {max:?}");
        // All permits were in use most of the time.
        let all = served(&clients, ClientBehavior::ReturnsOnTime);
        assert!(all > 60 / 2 * LIMIT * 8 / 10, "{callers}: {all}");
    }
}

#[test]
fn frequent_retries_gain_nothing() {
    let behaviors = [
        (ClientBehavior::ReturnsOnTime, 8),
        (ClientBehavior::ReturnsEarly, 32),
    ];
    for recordings in [u64::MAX, 100, 30] {
        let clients = simulate(&behaviors, Duration::from_secs(60), recordings);

        let [punctual, early] = [ClientBehavior::ReturnsOnTime, ClientBehavior::ReturnsEarly]
            .map(|behavior| served(&clients, behavior));
        assert!(
            punctual * 32 >= early * 8,
            "{recordings}: {punctual}, {early}"
        );
    }
}

#[test]
fn clients_that_never_return_do_not_block_permits() {
    let clients = simulate(
        &[(ClientBehavior::NeverReturns, 40)],
        Duration::from_secs(60),
        u64::MAX,
    );

    let all = served(&clients, ClientBehavior::NeverReturns);
    assert!(all > 60 / 2 * LIMIT * 9 / 10, "{all}");
}

#[test]
fn refused_requests_return_one_after_the_other() {
    let now = Instant::now();
    let turnover = Turnover::new(4, now);
    let mut returns = ExpectedReturns::new(4);
    let mut waits = Vec::new();
    for request in 0..100 {
        waits.push(returns.refuse(attempt(request), &turnover, now));
    }
    assert!(waits.is_sorted() && waits[0] >= MIN_WAIT, "{waits:?}");
    assert!(
        waits[8] > waits[0] + Duration::from_millis(900),
        "{waits:?}"
    );

    // An early return delays its own request only.
    let early = returns.refuse(attempt(0), &turnover, now);
    assert!(early > waits[0]);
    let due = now + waits[99];
    assert_eq!(returns.reserved(attempt(99), &turnover, due, |_| 4), 0);
}

#[test]
fn permits_beyond_a_callers_share_are_not_reserved_for_it() {
    let now = Instant::now();
    let turnover = Turnover::new(4, now);
    let mut returns = ExpectedReturns::new(4);
    let wait = (0..4).map(|request| returns.refuse(attempt(request), &turnover, now));
    let due = now + wait.last().unwrap_or_default();
    let other = Attempt {
        caller: Caller::Key(1),
        ..attempt(9)
    };
    for (open, reserved) in [(4, 3), (2, 2), (0, 0)] {
        assert_eq!(returns.reserved(other, &turnover, due, |_| open), reserved);
    }
}

#[test]
fn first_attempts_that_look_the_same_are_distinguished_by_their_retry_count() {
    let now = Instant::now();
    let turnover = Turnover::new(4, now);
    let first = Attempt {
        is_first: true,
        ..attempt(7)
    };
    let mut returns = ExpectedReturns::new(4);
    for number in 0..2 * MAX_ALIKE {
        returns.refuse(first, &turnover, now);
        assert_eq!(returns.expected.len(), MAX_ALIKE.min(number + 1));
    }
    returns.enter(attempt(7), now + HASTY_WITHIN);
    assert_eq!(returns.expected.len(), MAX_ALIKE - 1);
}

#[test]
fn a_request_refused_after_admission_returns_before_all_others() {
    let now = Instant::now();
    let turnover = Turnover::new(4, now);
    let mut returns = ExpectedReturns::new(4);
    for request in 0..8 {
        returns.refuse(attempt(request), &turnover, now);
    }
    let wait = returns.expect_first(attempt(9), &turnover, now);

    assert_eq!(
        returns.reserved(attempt(9), &turnover, now + wait, |_| 4),
        0
    );
}

#[test]
fn a_hasty_attempt_does_not_take_the_turn_of_another_that_looks_the_same() {
    let now = Instant::now();
    let turnover = Turnover::new(4, now);
    let mut returns = ExpectedReturns::new(4);
    let due = now + returns.refuse(attempt(1), &turnover, now);
    let another = Attempt {
        is_first: true,
        ..attempt(1)
    };
    returns.refuse(another, &turnover, due - HASTY_WITHIN / 2);
    let hasty = Attempt {
        is_hasty: true,
        ..attempt(1)
    };

    assert!(!returns.enter(hasty, due));
    assert!(returns.enter(attempt(1), due));
}
