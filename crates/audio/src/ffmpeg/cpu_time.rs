//! The processor time of a child process according to `/proc` (`man 5 proc_pid_stat`).

use std::fs;
use std::time::Duration;

/// A clock tick in `/proc`: always 10 ms in user space.
const TICK: Duration = Duration::from_millis(10);

/// Processor time used so far by a process; `None` if not available.
pub fn of(process: u32) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    read(&stat)
}

fn read(stat: &str) -> Option<Duration> {
    // The program name is in parentheses and may contain any characters.
    let (_, fields) = stat.rsplit_once(')')?;
    // After it, user time is the 12th field and system time the 13th.
    let mut fields = fields.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u32>().ok();
    Some(TICK * (ticks()? + ticks()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_user_and_system_time() {
        let stat = "7 (a) (b) 9) S 1 7 7 0 -1 4194560 1 0 0 0 250 30 0 0 20 0 1 0 9 9 9";
        assert_eq!(read(stat), Some(Duration::from_millis(2_800)));
        assert_eq!(read("7 (a) S 1"), None);
        assert_eq!(read(""), None);
    }
}
