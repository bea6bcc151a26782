//! Work that the owner of a session has not taken yet.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{ItemId, PieceWork, Work, WorkId};

/// Pieces and cancellations in order. Partial texts are not queued, because they are made of the newest audio when
/// the owner asks for work.
#[derive(Debug, Default)]
pub struct WorkQueue {
    cancelled: VecDeque<WorkId>,
    pieces: VecDeque<(ItemId, PieceWork)>,
    last_id: u64,
}

impl WorkQueue {
    /// A number that no other work has.
    pub fn next_id(&mut self) -> WorkId {
        self.last_id += 1;
        WorkId(self.last_id)
    }

    /// Adds a piece of a turn.
    pub fn add_piece(&mut self, item: ItemId, pcm: Arc<[f32]>) -> WorkId {
        let id = self.next_id();
        self.pieces.push_back((item, PieceWork { id, pcm }));
        id
    }

    /// Removes work that the owner has not taken; cancels it otherwise.
    pub fn cancel(&mut self, id: WorkId) {
        let waiting = self.pieces.len();
        self.pieces.retain(|(_, piece)| piece.id != id);
        if self.pieces.len() == waiting {
            self.cancelled.push_back(id);
        }
    }

    /// The next cancellation.
    pub fn next_cancelled(&mut self) -> Option<Work> {
        self.cancelled.pop_front().map(Work::Cancel)
    }

    /// The next piece.
    pub fn next_piece(&mut self) -> Option<Work> {
        let (item, piece) = self.pieces.pop_front()?;
        Some(Work::Piece(item, piece))
    }

    /// Samples in the pieces.
    pub fn samples(&self) -> usize {
        self.pieces.iter().map(|(_, piece)| piece.pcm.len()).sum()
    }
}
