//! A function that a separate thread calls at regular intervals.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

/// Calls a function at regular intervals until it is dropped.
pub struct Heartbeat {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Heartbeat {
    /// Calls `beat` whenever `interval` has passed. `None` if no thread can be started.
    pub fn start(interval: Duration, beat: impl Fn() + Send + 'static) -> Option<Heartbeat> {
        let (stop, stopped) = channel();
        let work = move || {
            while stopped.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
                beat();
            }
        };
        let thread = Builder::new().spawn(work).ok()?;
        Some(Heartbeat { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A beat that panicked has printed why.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_beats_until_it_is_dropped() {
        let (sender, beats) = channel();
        let beat = move || {
            let _ = sender.send(());
        };
        let heart = Heartbeat::start(Duration::from_millis(1), beat).unwrap();
        for _ in 0..3 {
            beats.recv_timeout(Duration::from_secs(60)).unwrap();
        }
        drop(heart);
        // The thread is over, and with it the sender.
        assert!(beats.iter().count() < 1000);
    }
}
