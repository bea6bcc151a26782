//! The memory of slots, and its limits.

/// Memory for slots, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryLimit {
    /// Of all slots together: memory of the host.
    Shared(u64),
    /// Of the slots of each runner, whose memory is not that of the others: GPUs.
    OfEachRunner(u64),
}

/// The limits and what is in use: one for all workers, or one for each.
#[derive(Debug)]
pub struct MemoryAccounts {
    accounts: Vec<Account>,
}

#[derive(Clone, Copy, Debug)]
struct Account {
    limit: u64,
    in_use: u64,
}

impl MemoryAccounts {
    /// No memory is in use.
    pub fn new(limit: MemoryLimit, workers: usize) -> Self {
        let (limit, accounts) = match limit {
            MemoryLimit::Shared(limit) => (limit, 1),
            MemoryLimit::OfEachRunner(limit) => (limit, workers),
        };
        Self {
            accounts: vec![Account { limit, in_use: 0 }; accounts],
        }
    }

    /// Whether there is memory for a slot of this worker. A slot above the limit fits if no other slot is open.
    pub fn fits(&self, home: usize, bytes: u64) -> bool {
        let Account { limit, in_use } = self.accounts[self.account(home)];
        in_use.saturating_add(bytes) <= limit || in_use == 0
    }

    /// Whether slots of these workers take memory of the same account.
    pub fn share_memory(&self, home: usize, other: usize) -> bool {
        self.account(home) == self.account(other)
    }

    /// A slot of this worker takes memory.
    pub fn take(&mut self, home: usize, bytes: u64) {
        let account = self.account(home);
        self.accounts[account].in_use += bytes;
    }

    /// A slot of this worker frees its memory.
    pub fn free(&mut self, home: usize, bytes: u64) {
        let account = self.account(home);
        self.accounts[account].in_use -= bytes;
    }

    /// Halves the limit of this worker, from what is in use now.
    pub fn reduce(&mut self, home: usize) {
        let account = self.account(home);
        let Account { limit, in_use } = &mut self.accounts[account];
        *limit = (*limit).min(*in_use) / 2;
    }

    /// Memory of all slots, in bytes.
    pub fn in_use(&self) -> u64 {
        self.accounts.iter().map(|account| account.in_use).sum()
    }

    fn account(&self, home: usize) -> usize {
        if self.accounts.len() == 1 { 0 } else { home }
    }
}
