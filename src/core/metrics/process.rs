//! What this process uses; zero where the system does not say.

use std::time::Duration;

use super::{Kind, Registry};

/// Adds the usual samples of a process that started at this time.
pub fn register(registry: &Registry, started: jiff::Timestamp) {
    registry.add(Kind::Gauge, "process_resident_memory_bytes", "Resident memory", &[], || memory() as f64);
    let seconds = || processor_time().as_secs_f64();
    registry.add(Kind::Counter, "process_cpu_seconds_total", "Processor time", &[], seconds);
    let started = started.as_millisecond() as f64 / 1000.0;
    registry.add(Kind::Gauge, "process_start_time_seconds", "Start as unix time", &[], move || started);
    registry.add(Kind::Gauge, "process_open_fds", "Open files and sockets", &[], || files().0 as f64);
    registry.add(Kind::Gauge, "process_max_fds", "Open files and sockets at most", &[], || files().1 as f64);
}

/// Resident memory in bytes.
pub fn memory() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = text.split_whitespace().nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
    pages.saturating_mul(rustix::param::page_size() as u64)
}

/// Processor time of all threads since the start.
pub fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap_or(0), time.tv_nsec.try_into().unwrap_or(0))
}

/// Average share of one processor since the start, in percent, as `ps` shows it.
pub fn percent(uptime: Duration) -> f64 {
    let share = processor_time().as_secs_f64() / uptime.as_secs_f64().max(0.001) * 100.0;
    (share * 10.0).round() / 10.0
}

/// Processors.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Open files and sockets, and how many there may be.
pub fn files() -> (u64, u64) {
    let open = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count) as u64;
    let most = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    (open, most.unwrap_or(0))
}
