//! Ctrl-C and SIGTERM: the first ends the run within one matrix, the second at once. Neither leaves temporary files.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};

use crate::error::Kind;

static INTERRUPTED: AtomicBool = AtomicBool::new(false);
static TEMPORARY: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());
static REACTION: Mutex<Option<Box<dyn Fn() + Send>>> = Mutex::new(None);

/// Installs the signal handler.
pub fn listen() {
    // If no handler can be installed, a signal ends the process as usual.
    let _ = ctrlc::set_handler(|| {
        if let Some(react) = reaction().as_ref() {
            react();
        }
        if INTERRUPTED.swap(true, Ordering::SeqCst) {
            exit_now();
        }
        // If stderr is gone, nobody reads this.
        let _ = writeln!(std::io::stderr(), "stopping after the matrices in progress; a second signal stops at once");
    });
}

/// True once a signal has come.
pub fn requested() -> bool {
    INTERRUPTED.load(Ordering::SeqCst)
}

/// Calls `react` at each signal, on another thread, while the guard lives; one at a time.
pub fn react_with(react: impl Fn() + Send + 'static) -> Reaction {
    *reaction() = Some(Box::new(react));
    Reaction(())
}

/// See [`react_with`].
pub struct Reaction(());

impl Drop for Reaction {
    fn drop(&mut self) {
        *reaction() = None;
    }
}

fn reaction() -> MutexGuard<'static, Option<Box<dyn Fn() + Send>>> {
    REACTION.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Removes `path`, a file or folder, if a second signal ends the process while the guard lives.
pub fn remove_on_exit(path: &Path) -> Cleanup {
    temporary().push(path.to_owned());
    Cleanup(path.to_owned())
}

/// See [`remove_on_exit`].
pub struct Cleanup(PathBuf);

impl Drop for Cleanup {
    fn drop(&mut self) {
        temporary().retain(|path| *path != self.0);
    }
}

fn temporary() -> MutexGuard<'static, Vec<PathBuf>> {
    TEMPORARY.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

#[allow(clippy::exit)] // a second signal means: now
fn exit_now() {
    for path in temporary().iter() {
        // Renamed first, so that a thread that is still writing into a folder cannot create files in it again.
        let doomed = path.with_extension("removed");
        let doomed = if std::fs::rename(path, &doomed).is_ok() { doomed } else { path.clone() };
        // Another thread may be removing it too: try again.
        for _ in 0..100 {
            let removed =
                if doomed.is_dir() { std::fs::remove_dir_all(&doomed) } else { std::fs::remove_file(&doomed) };
            if removed.is_ok() || !doomed.exists() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
    std::process::exit(Kind::Interrupted.exit_code().into());
}
