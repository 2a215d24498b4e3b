//! Memory-mapped files: the only place that maps memory.
//!
//! A mapped file is not a private copy. If it shrinks while it is read, the kernel sends SIGBUS; if it is overwritten, its
//! numbers change silently. On Unix `guard` turns the first into zeros and a mark; [`MappedFile::verify`] reports both, so
//! that no number computed from a changed file is ever given out. (Windows does not let a mapped file shrink.)
#![allow(unsafe_code)]

use std::fs::{File, Metadata};
use std::sync::OnceLock;
use std::time::SystemTime;

use memmap2::Mmap;

/// A file that is mapped read-only in full, at the first use.
#[derive(Debug)]
pub(super) struct MappedFile {
    file: File,
    bytes: u64,
    modified: Option<SystemTime>,
    mapping: OnceLock<Result<Mapping, String>>,
}

impl MappedFile {
    /// Keeps `file` open, which has the given `metadata`, so that header and weights come from the same file.
    pub fn new(file: File, metadata: &Metadata) -> MappedFile {
        MappedFile { file, bytes: metadata.len(), modified: metadata.modified().ok(), mapping: OnceLock::new() }
    }

    /// The content. It counts only once [`MappedFile::verify`] has confirmed it afterwards.
    pub fn content(&self) -> Result<&[u8], String> {
        Ok(&self.mapping()?.map)
    }

    /// Drops the pages of a range from this process; they are read again if they are needed again.
    pub fn release(&self, offset: usize, length: usize) {
        // SAFETY: the mapping is shared and read-only, so that dropped pages come back from the file with the same bytes
        // (or as the zeros that `guard` put there). A failure leaves the pages where they are, which harms nobody.
        #[cfg(unix)]
        unsafe {
            if let Some(Ok(mapping)) = self.mapping.get() {
                let _ = mapping.map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, offset, length);
            }
        }
        #[cfg(not(unix))]
        let _ = (offset, length);
    }

    /// Asks the system to read a range from disk ahead of its use. Returns true if most of it was not in memory yet.
    pub fn prefetch(&self, offset: usize, length: usize) -> bool {
        #[cfg(target_os = "linux")]
        if let Ok(mapping) = self.mapping() {
            let cold = mapping.is_mostly_absent(offset, length);
            // A failure costs time only.
            let _ = mapping.map.advise_range(memmap2::Advice::WillNeed, offset, length);
            return cold;
        }
        let _ = (offset, length);
        false
    }

    /// Drops a range from the system's page cache.
    pub fn evict(&self, offset: usize, length: usize) {
        #[cfg(target_os = "linux")]
        {
            use std::os::fd::AsRawFd;
            // SAFETY: the file is open; this is advice, and touches no memory of this process.
            unsafe {
                libc::posix_fadvise(self.file.as_raw_fd(), offset as i64, length as i64, libc::POSIX_FADV_DONTNEED);
            }
        }
        let _ = (offset, length);
    }

    /// Confirms that what was read before this call was the file as it was opened.
    ///
    /// # Errors
    ///
    /// A sentence, if the file has changed or could not be read (for example because the disk failed).
    pub fn verify(&self) -> Result<(), String> {
        #[cfg(unix)]
        if self.mapping()?.region.is_torn() {
            return Err("the file shrank or could not be read while it was mapped".into());
        }
        let metadata =
            self.file.metadata().map_err(|error| format!("the file cannot be examined any more: {error}"))?;
        if metadata.len() != self.bytes {
            return Err(format!("the file had {} bytes when opened and has {} now", self.bytes, metadata.len()));
        }
        if metadata.modified().ok() != self.modified {
            return Err("the file was written to while it was read".into());
        }
        Ok(())
    }

    fn mapping(&self) -> Result<&Mapping, String> {
        self.mapping.get_or_init(|| Mapping::new(&self.file, self.bytes)).as_ref().map_err(String::clone)
    }
}

/// The mapping itself, watched while it exists.
#[derive(Debug)]
struct Mapping {
    #[cfg(unix)]
    region: &'static guard::Region,
    map: Mmap,
}

impl Mapping {
    /// Maps the whole of `file`, which must still have the size that its header was checked against.
    fn new(file: &File, expected_bytes: u64) -> Result<Mapping, String> {
        // SAFETY: the slice is only ever read as plain bytes, for which every bit pattern is valid. Shrinking of the
        // file is caught by `guard` on Unix and impossible on Windows; `verify` rejects data that may have changed.
        let map = unsafe { Mmap::map(file) }.map_err(|error| format!("the file cannot be mapped: {error}"))?;
        if map.len() as u64 != expected_bytes {
            return Err(format!("the file had {expected_bytes} bytes when opened and has {} now", map.len()));
        }
        Ok(Mapping {
            #[cfg(unix)]
            region: guard::watch(map.as_ptr() as usize, map.len()),
            map,
        })
    }

    /// True if less than half of the pages of a range are in memory, by what samples of a long one say.
    #[cfg(target_os = "linux")]
    fn is_mostly_absent(&self, offset: usize, length: usize) -> bool {
        /// Most samples, and pages of each.
        const SAMPLES: usize = 64;
        const PAGES: usize = 256;
        // SAFETY: sysconf has no preconditions.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
        let first = offset / page * page;
        let bytes = offset + length - first;
        let count = bytes.div_ceil(page);
        let samples = count.div_ceil(PAGES).min(SAMPLES);
        let (mut seen, mut present) = (0, 0);
        for sample in 0..samples {
            // Of equal parts of the range, the first pages each.
            let (begin, end) = (count * sample / samples, count * (sample + 1) / samples);
            let mut pages = [0_u8; PAGES];
            let looked_at = (end - begin).min(PAGES);
            let length = (looked_at * page).min(bytes - begin * page);
            // SAFETY: the sample begins at a page of the mapping and ends inside it, and there is a byte for each page.
            let answer = unsafe {
                let start = self.map.as_ptr().add(first + begin * page).cast_mut().cast::<libc::c_void>();
                libc::mincore(start, length, pages.as_mut_ptr())
            };
            if answer != 0 {
                return false;
            }
            seen += looked_at;
            present += pages[..looked_at].iter().filter(|&&page| page & 1 == 1).count();
        }
        2 * present < seen
    }
}

#[cfg(unix)]
impl Drop for Mapping {
    fn drop(&mut self) {
        // Runs before the fields are dropped, hence before the pages are unmapped and their addresses used again.
        self.region.release();
    }
}

/// Survives SIGBUS in watched mappings.
///
/// The handler replaces what cannot be read by zero pages and marks the region as torn; a fault anywhere else goes to
/// whoever handled SIGBUS before. This is what Wayland compositors do with the buffers of their clients.
#[cfg(unix)]
mod guard {
    use std::ptr::{self, null_mut};
    use std::sync::Once;
    use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering::SeqCst};

    /// A watched address range. Regions are leaked, 40 bytes a mapping, and never used again: the handler may look at any
    /// of them at any time, and must never see half of one and half of another.
    #[derive(Debug)]
    pub struct Region {
        start: usize,
        length: usize,
        watched: AtomicBool,
        torn: AtomicBool,
        next: AtomicPtr<Region>,
    }

    impl Region {
        pub fn is_torn(&self) -> bool {
            self.torn.load(SeqCst)
        }

        pub fn release(&self) {
            self.watched.store(false, SeqCst);
        }

        fn holds(&self, address: usize) -> bool {
            self.watched.load(SeqCst) && (self.start..self.start.saturating_add(self.length)).contains(&address)
        }
    }

    static REGIONS: AtomicPtr<Region> = AtomicPtr::new(null_mut());
    static PREVIOUS: AtomicPtr<libc::sigaction> = AtomicPtr::new(null_mut());

    fn regions() -> impl Iterator<Item = &'static Region> {
        let mut next: *const Region = REGIONS.load(SeqCst);
        std::iter::from_fn(move || {
            // SAFETY: null or a leaked, fully initialised region.
            let region = unsafe { next.as_ref()? };
            next = region.next.load(SeqCst);
            Some(region)
        })
    }

    /// Watches `length` mapped bytes from address `start`, until the region is released.
    pub fn watch(start: usize, length: usize) -> &'static Region {
        static INSTALLED: Once = Once::new();
        INSTALLED.call_once(install);
        let region = Box::leak(Box::new(Region {
            start,
            length,
            watched: true.into(),
            torn: false.into(),
            next: AtomicPtr::new(REGIONS.load(SeqCst)),
        }));
        while let Err(first) = REGIONS.compare_exchange(region.next.load(SeqCst), region, SeqCst, SeqCst) {
            region.next.store(first, SeqCst);
        }
        region
    }

    fn install() {
        // SAFETY: both structs are plain data for which zero is valid; the handler has the signature that SA_SIGINFO asks
        // for and calls only async-signal-safe functions; PREVIOUS is set before the handler can run for a watched range,
        // because `watch` publishes no region before `install` has returned.
        unsafe {
            let previous = Box::leak(Box::new(std::mem::zeroed::<libc::sigaction>()));
            let mut action = std::mem::zeroed::<libc::sigaction>();
            action.sa_sigaction = on_sigbus as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
            libc::sigemptyset(&mut action.sa_mask);
            PREVIOUS.store(previous, SeqCst);
            libc::sigaction(libc::SIGBUS, &action, previous);
        }
    }

    extern "C" fn on_sigbus(_signal: libc::c_int, info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
        // SAFETY: the kernel passes a valid siginfo to an SA_SIGINFO handler.
        let address = unsafe { (*info).si_addr() } as usize;
        if let Some(region) = regions().find(|region| region.holds(address)) {
            // Marked before the zeros can be read: whoever verifies after reading them sees the mark.
            region.torn.store(true, SeqCst);
            if cover(address, region.start + region.length) {
                return;
            }
        }
        // Not ours: give the fault, which repeats on return, to whoever handled SIGBUS before.
        // SAFETY: PREVIOUS points to a leaked sigaction that `install` filled.
        unsafe { libc::sigaction(libc::SIGBUS, PREVIOUS.load(SeqCst), ptr::null_mut()) };
    }

    /// Puts zero pages from the page of `address` to `end`; true if that worked.
    fn cover(address: usize, end: usize) -> bool {
        // SAFETY: sysconf is async-signal-safe and has no preconditions.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
        let first = address & !(page - 1);
        // SAFETY: the range lies in a mapping that this module watches, hence owns; mmap is a bare system call, safe in a
        // handler. Readers of the old pages see zeros, which `verify` rejects afterwards.
        let mapped = unsafe {
            let flags = libc::MAP_FIXED | libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            libc::mmap(first as *mut libc::c_void, end - first, libc::PROT_READ, flags, -1, 0)
        };
        mapped != libc::MAP_FAILED
    }
}
