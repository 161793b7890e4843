//! What transforms need of this machine: files, and somebody who ends what would not.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use choria::core::builder::Scope;
use choria::core::builder::transforms::{Rim, Transform};
use choria::core::files::{write_atomic, write_new};
use choria::core::metrics::process;

/// Longest time of one step.
const LONGEST: Duration = Duration::from_secs(60);
/// Memory that one step may take.
const MOST: u64 = 512 << 20;
/// Its stack, of which only what is used is taken: it is used up after the memory is, where this
/// machine gives so much.
const STACKS: [usize; 3] = [2 << 30, 256 << 20, 8 << 20];
/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// Output that went through a transform.
///
/// # Errors
/// It failed; a sentence.
pub fn apply(transform: &Transform, output: String, scope: &Scope<'_>) -> Result<String, String> {
    transform.apply(output, scope, &mut Here)
}

struct Here;

impl Rim for Here {
    /// On a thread of its own, which nobody waits for when it costs too much: the process ends then.
    fn guarded(
        &mut self,
        work: Box<dyn FnOnce() -> Result<String, String> + Send>,
    ) -> Result<String, String> {
        let (done, doing) = channel();
        let before = process::memory();
        let began = Instant::now();
        let work = Arc::new(Mutex::new(Some(work)));
        let spawned = STACKS.iter().find_map(|stack| {
            let (work, done) = (work.clone(), done.clone());
            let thread = std::thread::Builder::new().name("transform".to_owned()).stack_size(*stack);
            let run = move || {
                let work = work.lock().ok().and_then(|mut work| work.take());
                work.map(|work| done.send(work()))
            };
            thread.spawn(run).ok()
        });
        drop(done);
        spawned.ok_or("there is no memory for a query")?;
        loop {
            match doing.recv_timeout(LOOK) {
                Ok(made) => return made,
                Err(RecvTimeoutError::Disconnected) => {
                    return Err("the query ended by a fault of this program".to_owned());
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
            if process::memory().saturating_sub(before) > MOST {
                return Err(format!("the query takes more than {} MiB of memory", MOST >> 20));
            }
            if began.elapsed() > LONGEST {
                return Err(format!("the query takes longer than {} s", LONGEST.as_secs()));
            }
        }
    }

    fn write(&mut self, file: &str, bytes: &[u8], replace: bool) -> Result<(), String> {
        let path = Path::new(file);
        let written = match replace {
            true => write_atomic(path, bytes, usual_mode(path)),
            false if path.exists() => return Err(format!("{file} is there already, and not to be replaced")),
            false => write_new(path, bytes, usual_mode(path)),
        };
        written.map_err(|e| format!("cannot write {file}: {e}"))
    }
}

/// The mode of the file that is there, else that of a new one as the person wants it.
fn usual_mode(path: &Path) -> u32 {
    if let Ok(about) = path.metadata() {
        return about.mode() & 0o777;
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let masked = status.lines().find_map(|line| line.strip_prefix("Umask:"));
    let masked = masked.and_then(|mask| u32::from_str_radix(mask.trim(), 8).ok());
    masked.map_or(0o600, |masked| 0o666 & !masked)
}
