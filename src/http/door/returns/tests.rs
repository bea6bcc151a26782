//! Returns to permits that are held for two seconds each, in virtual time.

use super::*;

const LIMIT: usize = 16;
const HOLD: Duration = Duration::from_secs(2);
const STEP: Duration = Duration::from_millis(10);

/// What a client does when it is refused.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Client {
    /// Returns at the time that the refusal named.
    Obeys,
    /// Returns every 20 ms.
    Hurries,
    /// Sends another request instead, every 100 ms.
    Leaves,
}

/// A client and its current request.
struct Sender {
    kind: Client,
    request: u64,
    tries: usize,
    most_tries: usize,
    served: usize,
    refused_at: Option<Instant>,
    /// When it asks, or, with a permit since `entry`, when it is answered.
    next: Instant,
    entry: Option<Instant>,
}

/// Lets clients send one request after the other, each on a connection of its own. Of all requests
/// `recordings` look different.
fn simulate(kinds: &[(Client, usize)], time: Duration, recordings: u64) -> Vec<Sender> {
    let start = Instant::now();
    let mut turnover = Turnover::new(LIMIT, start);
    let mut returns = ExpectedReturns::new(LIMIT);
    let kinds = kinds
        .iter()
        .flat_map(|(kind, count)| std::iter::repeat_n(*kind, *count));
    let mut senders: Vec<Sender> = kinds
        .enumerate()
        .map(|(number, kind)| Sender {
            kind,
            request: number as u64 * 1_000_003,
            tries: 0,
            most_tries: 0,
            served: 0,
            refused_at: None,
            next: start + STEP * (number % 10) as u32,
            entry: None,
        })
        .collect();
    let mut taken = 0;
    let mut now = start;
    while now < start + time {
        for sender in senders.iter_mut().filter(|sender| sender.next <= now) {
            if let Some(entry) = sender.entry.take() {
                turnover.leave(entry, now);
                taken -= 1;
                sender.served += 1;
                sender.request += 1;
                sender.tries = 0;
                sender.next = now + STEP;
                continue;
            }
            let attempt = Attempt {
                is_hasty: sender.refused_at.is_some_and(|at| now < at + HASTE),
                ..attempt(sender.request % recordings)
            };
            sender.tries += 1;
            sender.most_tries = sender.most_tries.max(sender.tries);
            let reserved = returns.reserved(attempt, &turnover, now, |_| LIMIT);
            if taken + reserved < LIMIT {
                returns.enter(attempt, now);
                turnover.enter(now);
                taken += 1;
                sender.entry = Some(now);
                sender.next = now + HOLD;
                continue;
            }
            let wait = returns.refuse(attempt, &turnover, now);
            sender.refused_at = Some(now);
            sender.next = match sender.kind {
                Client::Obeys => now + wait,
                Client::Hurries => now + Duration::from_millis(20),
                Client::Leaves => {
                    sender.request += 1;
                    now + Duration::from_millis(100)
                }
            };
        }
        now += STEP;
    }
    senders
}

fn attempt(request: u64) -> Attempt {
    Attempt {
        caller: Caller::Key(0),
        request,
        is_first: false,
        is_hasty: false,
    }
}

fn served(senders: &[Sender], kind: Client) -> usize {
    let of_kind = senders.iter().filter(|sender| sender.kind == kind);
    of_kind.map(|sender| sender.served).sum()
}

#[test]
fn a_client_that_obeys_is_served_within_six_tries() {
    for callers in [17, 48, 128] {
        let senders = simulate(
            &[(Client::Obeys, callers)],
            Duration::from_secs(60),
            u64::MAX,
        );

        let most = senders.iter().map(|sender| sender.most_tries).max();
        assert!(most <= Some(6), "{callers}: {most:?}");
        // All permits were in use nearly all of the time.
        let all = served(&senders, Client::Obeys);
        assert!(all > 60 / 2 * LIMIT * 8 / 10, "{callers}: {all}");
    }
}

#[test]
fn asking_again_and_again_gains_nothing() {
    let kinds = [(Client::Obeys, 8), (Client::Hurries, 32)];
    for recordings in [u64::MAX, 100, 30] {
        let senders = simulate(&kinds, Duration::from_secs(60), recordings);

        let [obeys, hurries] = [Client::Obeys, Client::Hurries].map(|kind| served(&senders, kind));
        assert!(
            obeys * 32 >= hurries * 8,
            "{recordings}: {obeys}, {hurries}"
        );
    }
}

#[test]
fn clients_that_never_return_keep_no_permit_from_others() {
    let senders = simulate(&[(Client::Leaves, 40)], Duration::from_secs(60), u64::MAX);

    let all = served(&senders, Client::Leaves);
    assert!(all > 60 / 2 * LIMIT * 9 / 10, "{all}");
}

#[test]
fn refusals_are_told_to_return_one_after_the_other() {
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

    // An early return moves its own request back, and no other.
    let early = returns.refuse(attempt(0), &turnover, now);
    assert!(early > waits[0]);
    let due = now + waits[99];
    assert_eq!(returns.reserved(attempt(99), &turnover, due, |_| 4), 0);
}

#[test]
fn what_a_caller_may_not_take_is_not_kept_for_it() {
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
fn requests_that_look_the_same_are_kept_apart_where_the_client_says_so() {
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
    returns.enter(attempt(7), now + HASTE);
    assert_eq!(returns.expected.len(), MAX_ALIKE - 1);
}

#[test]
fn a_request_that_was_refused_after_its_permit_comes_before_all_others() {
    let now = Instant::now();
    let turnover = Turnover::new(4, now);
    let mut returns = ExpectedReturns::new(4);
    for request in 0..8 {
        returns.refuse(attempt(request), &turnover, now);
    }
    let wait = returns.put_first(attempt(9), &turnover, now);

    assert_eq!(
        returns.reserved(attempt(9), &turnover, now + wait, |_| 4),
        0
    );
}

#[test]
fn an_attempt_in_haste_does_not_take_the_turn_of_another_that_looks_the_same() {
    let now = Instant::now();
    let turnover = Turnover::new(4, now);
    let mut returns = ExpectedReturns::new(4);
    let due = now + returns.refuse(attempt(1), &turnover, now);
    let another = Attempt {
        is_first: true,
        ..attempt(1)
    };
    returns.refuse(another, &turnover, due - HASTE / 2);
    let hasty = Attempt {
        is_hasty: true,
        ..attempt(1)
    };

    assert!(!returns.enter(hasty, due));
    assert!(returns.enter(attempt(1), due));
}
