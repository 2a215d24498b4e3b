//! From mapped files to the GPU: reader threads copy blocks of weights into a ring of page-locked buffers, and the lane sends
//! them to the GPU in order.
//!
//! Copying straight from a mapping would stall the GPU at every page that is not in memory yet, and is several times slower
//! even if all are. A buffer is filled again as soon as the event after its last copy has passed; readers wait for that, not
//! the lane.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, mpsc};

use super::blocks::Block;
use super::sys::context::Context;
use super::sys::error::Result;
use super::sys::memory::PinnedMemory;
use super::sys::stream::{Event, Stream};

/// Threads that fill buffers, for each lane. One copies about 5 GB/s out of the page cache.
const READERS: usize = 2;
/// Buffers of a lane.
const SLOTS: usize = 4;

/// A page-locked buffer.
#[derive(Debug)]
struct Slot {
    memory: PinnedMemory,
    /// Passes when the last copy from here is done.
    copied: Event,
}

/// The page-locked buffers of a lane.
#[derive(Debug)]
pub struct PinnedRing {
    slots: Vec<Mutex<Slot>>,
}

impl PinnedRing {
    /// A ring of buffers of `bytes` bytes.
    pub fn new(context: &Arc<Context>, bytes: usize) -> Result<PinnedRing> {
        let slot =
            |_| Ok(Mutex::new(Slot { memory: PinnedMemory::new(context, bytes)?, copied: Event::new(context)? }));
        Ok(PinnedRing { slots: (0..SLOTS).map(slot).collect::<Result<_>>()? })
    }

    /// Calls `send` with every block, in order, and the buffer that has it: `send` enqueues a copy from the buffer in `stream`,
    /// and what follows.
    ///
    /// # Errors
    ///
    /// Those of `send` and of the driver.
    pub fn feed(
        &self,
        stream: &Stream,
        blocks: &[Block],
        mut send: impl FnMut(&Block, &PinnedMemory) -> Result<()>,
    ) -> Result<()> {
        let next = AtomicUsize::new(0);
        let (free, free_slots) = mpsc::channel();
        (0..self.slots.len()).for_each(|slot| free.send(slot).expect("the receiver exists"));
        let free_slots = Mutex::new(free_slots);
        let (filled, filled_slots) = mpsc::channel();
        // A reader takes a buffer before it takes a block, so that the first block under way always has a buffer, and the lane
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
            // Both ends are dropped when this returns, which ends the readers.
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
                // The readers may have ended.
                let _ = free.send(slot);
            }
            Ok(())
        })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
