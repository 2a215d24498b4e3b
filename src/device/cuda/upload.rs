//! From mapped files to the GPU: reader threads copy blocks of weights into a ring of page-locked buffers, and the lane sends
//! them on in order.
//!
//! Copying straight from a mapping would stall the GPU at every page that is not in memory yet, and is several times slower
//! even where all are. A buffer is filled again as soon as the event behind its last copy has passed; readers wait for that,
//! not the lane.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, mpsc};

use super::driver::{Context, Event, Pinned, Result, Stream};
use crate::checkpoint::MatrixView;

/// Threads that fill buffers, for each lane. One copies about 5 GB/s out of the page cache.
const READERS: usize = 2;
/// Buffers of a lane.
const SLOTS: usize = 4;

/// Rows of the tall form of a matrix that travel together.
#[derive(Debug, Clone)]
pub(super) struct Block<'v, 'a> {
    /// Number of the matrix in its batch.
    pub job: usize,
    pub view: &'v MatrixView<'a>,
    pub rows: Range<usize>,
}

impl Block<'_, '_> {
    /// Size of the block.
    pub fn bytes(&self) -> usize {
        self.rows.len() * self.view.short() * self.view.dtype().bytes()
    }

    /// Size of the blocks before it.
    pub fn offset(&self) -> usize {
        self.rows.start * self.view.short() * self.view.dtype().bytes()
    }
}

/// A page-locked buffer.
#[derive(Debug)]
struct Slot {
    memory: Pinned,
    /// Passed once the copy that was made last from here is done.
    copied: Event,
}

/// The ring of a lane.
#[derive(Debug)]
pub(super) struct Ring {
    slots: Vec<Mutex<Slot>>,
}

impl Ring {
    /// A ring of buffers of `bytes` bytes.
    pub fn new(context: &Arc<Context>, bytes: usize) -> Result<Ring> {
        let slot = |_| Ok(Mutex::new(Slot { memory: Pinned::new(context, bytes)?, copied: Event::new(context)? }));
        Ok(Ring { slots: (0..SLOTS).map(slot).collect::<Result<_>>()? })
    }

    /// Calls `send` with every block, in order, and the buffer that holds it: `send` enqueues a copy from the buffer in
    /// `stream`, and whatever follows.
    ///
    /// # Errors
    ///
    /// What `send` or the driver fails with.
    pub fn feed(
        &self,
        stream: &Stream,
        blocks: &[Block],
        mut send: impl FnMut(&Block, &Pinned) -> Result<()>,
    ) -> Result<()> {
        let next = AtomicUsize::new(0);
        let (free, free_slots) = mpsc::channel();
        (0..self.slots.len()).for_each(|slot| free.send(slot).expect("the receiver exists"));
        let free_slots = Mutex::new(free_slots);
        let (filled, filled_slots) = mpsc::channel();
        // A reader takes a buffer before it takes a block, so that the lowest block under way always has one, and the lane
        // never waits for a block that waits for a buffer.
        let read = |filled: mpsc::Sender<(usize, usize, Result<()>)>| {
            loop {
                let Ok(slot) = lock(&free_slots).recv() else { return };
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(block) = blocks.get(index) else { return };
                let Slot { memory, copied } = &mut *lock(&self.slots[slot]);
                let outcome = copied.synchronize();
                if outcome.is_ok() {
                    block.view.copy_tall_rows(block.rows.clone(), &mut memory.bytes_mut()[..block.bytes()]);
                }
                if filled.send((index, slot, outcome)).is_err() {
                    return;
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..READERS.min(blocks.len()) {
                let filled = filled.clone();
                scope.spawn(|| read(filled));
            }
            drop(filled);
            // Both ends go when this returns, which ends the readers.
            let (free, filled_slots) = (free, filled_slots);
            let mut waiting = HashMap::new();
            for (index, block) in blocks.iter().enumerate() {
                let slot = loop {
                    if let Some(slot) = waiting.remove(&index) {
                        break slot;
                    }
                    let (number, slot, outcome) = filled_slots.recv().expect("readers answer for every block");
                    outcome?;
                    waiting.insert(number, slot);
                };
                let Slot { memory, copied } = &*lock(&self.slots[slot]);
                send(block, memory)?;
                copied.record(stream)?;
                // Nobody may want it any more.
                let _ = free.send(slot);
            }
            Ok(())
        })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
