//! Memory-mapped files: the only place that maps memory.
//!
//! A mapped file is not a private copy. If the file shrinks while it is read, the kernel sends SIGBUS; if it is overwritten, its
//! numbers change silently. On Unix, `guard` replaces missing pages by zeros and marks the mapping; [`MappedFile::verify`] reports
//! both cases, so no result from a changed file is ever returned. (On Windows, a mapped file cannot shrink.)
#![allow(unsafe_code)]

use std::fs::{File, Metadata};
use std::sync::OnceLock;
use std::time::SystemTime;

use memmap2::Mmap;

/// A file that is mapped read-only as a whole when it is first used.
#[derive(Debug)]
pub(super) struct MappedFile {
    file: File,
    bytes: u64,
    modified: Option<SystemTime>,
    mapping: OnceLock<Result<Mapping, String>>,
}

impl MappedFile {
    /// Keeps `file` open, so that header and weights come from the same file. `metadata`: that of `file`.
    pub fn new(file: File, metadata: &Metadata) -> MappedFile {
        MappedFile { file, bytes: metadata.len(), modified: metadata.modified().ok(), mapping: OnceLock::new() }
    }

    /// The content, which is valid only if [`MappedFile::verify`] succeeds after it was read.
    pub fn content(&self) -> Result<&[u8], String> {
        Ok(&self.mapping()?.map)
    }

    /// Drops the pages of a range from this process; another access reads them again.
    pub fn release(&self, offset: usize, length: usize) {
        // SAFETY: the mapping is shared and read-only, so dropped pages come back from the file with the same bytes (or as the
        // zeros from `guard`). If the call fails, the pages stay, which is harmless.
        #[cfg(unix)]
        unsafe {
            if let Some(Ok(mapping)) = self.mapping.get() {
                let _ = mapping.map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, offset, length);
            }
        }
        #[cfg(not(unix))]
        let _ = (offset, length);
    }

    /// Starts to read a range from disk before it is used. Returns true if most of it was not in memory.
    pub fn prefetch(&self, offset: usize, length: usize) -> bool {
        #[cfg(target_os = "linux")]
        if let Ok(mapping) = self.mapping() {
            let cold = mapping.is_mostly_absent(offset, length);
            // A failure only costs time.
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
            // SAFETY: the file is open, and the call does not access memory of this process.
            unsafe {
                libc::posix_fadvise(self.file.as_raw_fd(), offset as i64, length as i64, libc::POSIX_FADV_DONTNEED);
            }
        }
        let _ = (offset, length);
    }

    /// Confirms that the file has not changed since it was opened.
    ///
    /// # Errors
    ///
    /// A sentence, if the file has changed or could not be read, for example because the disk failed.
    pub fn verify(&self) -> Result<(), String> {
        #[cfg(unix)]
        if self.mapping()?.region.is_torn() {
            return Err("the file shrank or could not be read while it was mapped".into());
        }
        let metadata = self.file.metadata().map_err(|error| format!("the file can no longer be examined: {error}"))?;
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

/// The mapping itself, watched by `guard` while it exists.
#[derive(Debug)]
struct Mapping {
    #[cfg(unix)]
    region: &'static guard::Region,
    map: Mmap,
}

impl Mapping {
    /// Maps all of `file`, which must still have the size against which its header was checked.
    fn new(file: &File, expected_bytes: u64) -> Result<Mapping, String> {
        // SAFETY: the mapping is only read as plain bytes, for which every bit pattern is valid. If the file shrinks, `guard`
        // handles the fault on Unix, and Windows prevents it; `verify` rejects data that may have changed.
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

    /// True if less than half of the pages of a range are in memory, estimated from samples if the range is long.
    #[cfg(target_os = "linux")]
    fn is_mostly_absent(&self, offset: usize, length: usize) -> bool {
        /// Most samples, and most pages of each.
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
            // The first pages of each of `samples` equal parts of the range.
            let (begin, end) = (count * sample / samples, count * (sample + 1) / samples);
            let mut pages = [0_u8; PAGES];
            let sampled = (end - begin).min(PAGES);
            let length = (sampled * page).min(bytes - begin * page);
            // SAFETY: the sample starts at a page boundary and ends inside the mapping, and `pages` has a byte for each page.
            let answer = unsafe {
                let start = self.map.as_ptr().add(first + begin * page).cast_mut().cast::<libc::c_void>();
                libc::mincore(start, length, pages.as_mut_ptr())
            };
            if answer != 0 {
                return false;
            }
            seen += sampled;
            present += pages[..sampled].iter().filter(|&&page| page & 1 == 1).count();
        }
        2 * present < seen
    }
}

#[cfg(unix)]
impl Drop for Mapping {
    fn drop(&mut self) {
        // Runs before the fields are dropped, so before the pages are unmapped and their addresses can be reused.
        self.region.release();
    }
}

/// Survives SIGBUS in watched mappings.
///
/// The handler replaces unreadable pages by zero pages and marks the region as torn. A fault anywhere else goes to the previous
/// handler of SIGBUS. Wayland compositors protect themselves in the same way from the buffers of their clients.
#[cfg(unix)]
mod guard {
    use std::ptr::{self, null_mut};
    use std::sync::Once;
    use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering::SeqCst};

    /// A watched address range. Regions are leaked (40 bytes for each mapping) and never reused, because the handler may read any
    /// of them at any time and must never see one that is partly overwritten.
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

        fn contains(&self, address: usize) -> bool {
            self.watched.load(SeqCst) && (self.start..self.start.saturating_add(self.length)).contains(&address)
        }
    }

    static REGIONS: AtomicPtr<Region> = AtomicPtr::new(null_mut());
    static PREVIOUS: AtomicPtr<libc::sigaction> = AtomicPtr::new(null_mut());

    fn regions() -> impl Iterator<Item = &'static Region> {
        let mut next: *const Region = REGIONS.load(SeqCst);
        std::iter::from_fn(move || {
            // SAFETY: the pointer is null or points to a leaked, fully initialized region.
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
        // SAFETY: both structs are plain data for which zero is valid; the handler has the signature that SA_SIGINFO requires
        // and calls only async-signal-safe functions; PREVIOUS is set before the handler can run for a watched range, because
        // `watch` publishes a region only after `install` has returned.
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
        if let Some(region) = regions().find(|region| region.contains(address)) {
            // Marked before the zeros can be read, so `verify` sees the mark if it runs after they were read.
            region.torn.store(true, SeqCst);
            if cover(address, region.start + region.length) {
                return;
            }
        }
        // Not a watched region: restore the previous handler, to which the fault repeats on return.
        // SAFETY: PREVIOUS points to a leaked sigaction that `install` has filled.
        unsafe { libc::sigaction(libc::SIGBUS, PREVIOUS.load(SeqCst), ptr::null_mut()) };
    }

    /// Maps zero pages from the page of `address` to `end`. Returns true on success.
    fn cover(address: usize, end: usize) -> bool {
        // SAFETY: sysconf is async-signal-safe and has no preconditions.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
        let first = address & !(page - 1);
        // SAFETY: the range is inside a mapping that this module watches, and therefore owns; mmap is a bare system call, safe in
        // a handler. Readers of the old pages see zeros, which `verify` rejects afterwards.
        let mapped = unsafe {
            let flags = libc::MAP_FIXED | libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            libc::mmap(first as *mut libc::c_void, end - first, libc::PROT_READ, flags, -1, 0)
        };
        mapped != libc::MAP_FAILED
    }
}
