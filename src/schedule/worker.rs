//! The state of a worker: what it runs, and the windows that it writes by their stages.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use super::lane::{Lane, PerLane};
use super::shares::{Contention, ShareLimits, Shares};
use super::window::{Window, WindowId};
use super::work::{Slot, Stage, Work};

/// The state of a worker.
#[derive(Debug)]
pub struct WorkerState {
    /// The work that was handed out and is not done.
    pub running: Option<Running>,
    /// The credit of the lanes; for a GPU that of the decoder counts.
    pub shares: Shares,
    /// Whether a work item was done since the last step: then a step is next.
    pub had_item: bool,
    /// Slots to be closed, of cancelled or expired windows.
    pub to_close: BTreeSet<WindowId>,
    /// Windows of this home by lane, whatever their stage.
    pub in_use: PerLane<usize>,
    /// Encoded windows that wait to be opened, in order of their ids.
    pub to_open: PerLane<BTreeSet<WindowId>>,
    /// Slots that are being written.
    pub open: PerLane<BTreeSet<WindowId>>,
    /// Texts that wait to be aligned.
    pub to_align: PerLane<BTreeSet<WindowId>>,
    /// Windows that wait to be tried again, each without others (`alone.rs`).
    pub alone: VecDeque<Window>,
    /// The window that is being tried without others.
    pub is_alone: Option<WindowId>,
    /// Time of the last step.
    pub step_time: Duration,
    /// Time of an encoder call per second of its audio.
    pub encode_time: f64,
}

/// Work that was handed out.
#[derive(Debug)]
pub struct Running {
    pub work: Work,
    pub began: Duration,
    /// Audio of the windows of a call, or number of rows of a step, by lane.
    pub weights: PerLane<f64>,
    /// Who waited when it was handed out.
    pub contention: Contention,
}

impl WorkerState {
    pub fn new(shares: ShareLimits) -> Self {
        Self {
            running: None,
            shares: Shares::new(shares),
            had_item: false,
            to_close: BTreeSet::new(),
            in_use: PerLane::default(),
            to_open: PerLane::default(),
            open: PerLane::default(),
            to_align: PerLane::default(),
            alone: VecDeque::new(),
            is_alone: None,
            step_time: Duration::ZERO,
            encode_time: 0.0,
        }
    }

    /// Number of texts of this lane that wait to be opened or aligned.
    pub fn items(&self, lane: Lane) -> usize {
        self.to_open[lane].len() + self.to_align[lane].len()
    }

    pub fn add(&mut self, slot: &Slot) {
        self.in_use[slot.window.lane] += 1;
        if slot.is_alone {
            self.is_alone = Some(slot.window.id);
        }
        self.enter(slot);
    }

    pub fn forget(&mut self, slot: &Slot) {
        self.in_use[slot.window.lane] -= 1;
        self.to_close.remove(&slot.window.id);
        if slot.is_alone {
            self.is_alone = None;
        }
        self.exit(slot);
    }

    pub fn move_to(&mut self, slot: &mut Slot, stage: Stage) {
        self.exit(slot);
        slot.stage = stage;
        self.enter(slot);
    }

    fn enter(&mut self, slot: &Slot) {
        let id = slot.window.id;
        if let Some(list) = self.list(slot) {
            list.insert(id);
        }
    }

    fn exit(&mut self, slot: &Slot) {
        let id = slot.window.id;
        if let Some(list) = self.list(slot) {
            list.remove(&id);
        }
    }

    fn list(&mut self, slot: &Slot) -> Option<&mut BTreeSet<WindowId>> {
        let lane = slot.window.lane;
        match slot.stage {
            Stage::Encoded => Some(&mut self.to_open[lane]),
            Stage::Open => Some(&mut self.open[lane]),
            Stage::Written => Some(&mut self.to_align[lane]),
            Stage::Encoding | Stage::Opening | Stage::Aligning | Stage::Closing => None,
        }
    }
}
