//! Available memory of the machine.

/// Memory that is available without swapping, within the limits of the machine and of the container or batch job
/// (control group). `None` if the system does not report it.
pub(crate) fn available_bytes() -> Option<u64> {
    let number = |file: &str| std::fs::read_to_string(file).ok()?.trim().parse::<u64>().ok();
    let group = || number("/sys/fs/cgroup/memory.max")?.checked_sub(number("/sys/fs/cgroup/memory.current")?);
    let info = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = info.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let machine = line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)?;
    Some(group().map_or(machine, |group| group.min(machine)))
}
