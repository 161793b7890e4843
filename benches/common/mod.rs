//! What benches have in common: figures, how they are shown, what processes use.

use std::fs;
use std::time::Duration;

/// Of each figure that is cheap to take.
pub const ROUNDS: usize = 5;

/// The words behind the bench's name; `None` when nobody asked to measure, as
/// under `cargo test --all-targets`.
pub fn words() -> Option<Vec<String>> {
    let (asked, words): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).partition(|word| word == "--bench");
    (!asked.is_empty()).then_some(words)
}

/// What the columns are.
pub fn head() {
    println!("{:52} {:>9} {:>22}  wanted", "", "ours", "the original");
}

/// A row: the median of what was measured.
pub fn show(name: &str, unit: &str, mut values: Vec<f64>, original: &str, wanted: &str) {
    values.sort_by(f64::total_cmp);
    let median = values.get(values.len() / 2).copied().unwrap_or(f64::NAN);
    println!("{:52} {median:9.2} {original:>22}  {wanted}", format!("{name}, {unit}"));
}

/// Five times the same.
pub fn rounds(mut measure: impl FnMut() -> f64) -> Vec<f64> {
    (0..ROUNDS).map(|_| measure()).collect()
}

pub fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// A line of what the kernel says of a process's memory, in MiB.
pub fn memory(pid: u32, line: &str) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).expect("Linux");
    let line = text.lines().find(|l| l.starts_with(line)).expect("the line");
    let kib = line.split_whitespace().nth(1).and_then(|n| n.parse::<f64>().ok());
    kib.expect("a number") / 1024.0
}

/// Most memory a running process ever used, in MiB.
pub fn peak(pid: u32) -> Option<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find(|l| l.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<f64>().ok()? / 1024.0)
}

/// Processor time of all threads that still run, to the nanosecond.
pub fn processor(pid: u32) -> Duration {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("Linux");
    let time = |task: std::io::Result<fs::DirEntry>| -> Option<u64> {
        let text = fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse().ok()
    };
    Duration::from_nanos(tasks.filter_map(time).sum())
}

/// Processor time of a process, threads that have ended included, to a hundredth of a second.
pub fn whole_processor(pid: u32) -> Duration {
    ticks(&format!("/proc/{pid}/stat"), 11)
}

/// Processor time of all children of this process that have ended, to a hundredth of a second.
pub fn of_children() -> Duration {
    ticks("/proc/self/stat", 13)
}

/// The same of another process.
pub fn of_children_of(pid: u32) -> Duration {
    ticks(&format!("/proc/{pid}/stat"), 13)
}

/// User and system time, `place` words behind the name.
fn ticks(file: &str, place: usize) -> Duration {
    let text = fs::read_to_string(file).expect("Linux");
    let after_name = text.rsplit(") ").next().expect("a name");
    let times = after_name.split(' ').skip(place).take(2);
    let ticks = times.filter_map(|n| n.parse::<u64>().ok()).sum::<u64>();
    Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second())
}
