//! How a run begins: it is spooled, and its runner is started.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::replies::{Refused, refused};
use crate::core::programs::Program;
use crate::core::tasks::cache::Cache;
use crate::core::tasks::records::FileRecord;
use crate::core::tasks::spool::{Spool, SpoolError, Wanted};
use crate::core::tasks::{TaskName, runner};

/// How long a runner may take to begin.
const BEGINS: Duration = Duration::from_secs(20);

/// All of a run that is about to begin.
pub struct Prepared {
    pub id: String,
    pub name: TaskName,
    pub task: String,
    pub caller: String,
    pub records: Vec<FileRecord>,
    pub executable: FileRecord,
    pub stdin: Option<String>,
    pub secret: bool,
    pub user: Option<runner::User>,
    pub environment: Vec<(OsString, OsString)>,
}

/// What begins runs.
pub struct Starter {
    pub spool: Spool,
    pub cache: Arc<Cache>,
    pub image: Option<PathBuf>,
    pub wrapper: Option<PathBuf>,
}

impl Starter {
    /// Spools a run and starts its runner.
    pub async fn begin(self, run: Prepared) -> Result<(), Refused> {
        let run = Arc::new(run);
        let prepared = {
            let (spool, cache, run) = (self.spool.clone(), self.cache.clone(), run.clone());
            tokio::task::spawn_blocking(move || {
                let wanted = Wanted {
                    id: &run.id,
                    name: &run.name,
                    task: &run.task,
                    caller: &run.caller,
                    records: &run.records,
                    executable: &run.executable,
                    stdin: run.stdin.as_deref(),
                    secret: run.secret,
                    user: run.user.as_ref().map(|user| (user.uid, user.gid)),
                };
                spool.prepare(&wanted, &cache)
            })
        };
        let dir = prepared.await.unwrap_or_else(|e| Err(SpoolError::Disk(std::io::Error::other(e))));
        let dir = dir.map_err(|e| refused::spool(&run.id, &run.task, e))?;
        let Err(problem) = self.start(&dir, &run).await else { return Ok(()) };
        let (spool, id, why) = (self.spool, run.id.clone(), problem.clone());
        let _ = tokio::task::spawn_blocking(move || spool.not_begun(&id, &why)).await;
        Err(refused::wrapper(&run.id, &run.task, &problem))
    }

    /// Starts the runner of a spooled run.
    async fn start(&self, dir: &Path, run: &Prepared) -> Result<(), String> {
        let image = self.image.as_ref().ok_or("where this program is was not found out")?;
        let mut words = vec![runner::WORD.into(), "start".into(), dir.as_os_str().to_owned()];
        words.push(run.user.as_ref().map(runner::User::to_word).unwrap_or_default().into());
        words.extend(self.wrapper.as_ref().map(|path| path.as_os_str().to_owned()));
        let program = Program::new(image).args(words).bare().directory("/").limit(BEGINS);
        let program = run.environment.iter().fold(program, |program, (name, value)| program.env(name, value));
        let ended = program.run().await.map_err(|e| e.to_string())?;
        let said = ended.errors.trim();
        match ended.status.success() {
            true => Ok(()),
            // by a signal of that user's, say
            false if said.is_empty() => Err(format!("what starts it ended without a word: {}", ended.status)),
            false => Err(said.strip_prefix("choria: ").unwrap_or(said).to_owned()),
        }
    }
}
