//! Programs begun by a thread of their own: whoever starts one waits until its file is read, which may be on a
//! network file system that hangs.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::oneshot;

use super::running::Running;
use super::{Ended, Program, ProgramError, Started, Stream};
use crate::core::files::unless_its_start_hangs;

impl Program {
    /// Starts it, to be kept: limits and input are its keeper's business.
    ///
    /// # Errors
    /// It did not start, or its file does not answer.
    pub async fn start(self) -> Result<Started, ProgramError> {
        let (directory, path) = (self.directory.clone(), self.path.clone());
        // gone with all it has started when it begins too late
        begun(directory, path, move || self.started(), drop).await?
    }

    /// Runs it to its end. Dropping the future kills its whole process group.
    ///
    /// # Errors
    /// It did not start, took longer or wrote more than it may. However it ends is no error.
    pub async fn run(self) -> Result<Ended, ProgramError> {
        self.run_heard(|_, _| ()).await
    }

    /// [`Program::run`], with each line of its standard error for `hear` as it comes, up to
    /// 64 KiB; then one line that says that more is not shown. The same of its standard
    /// output when it [talks](Program::talks) or is [overheard](Program::overheard).
    ///
    /// # Errors
    /// As [`Program::run`].
    pub async fn run_heard(self, hear: impl FnMut(Stream, &str)) -> Result<Ended, ProgramError> {
        let (directory, path) = (self.directory.clone(), self.path.clone());
        let bounds = (self.limit, self.most);
        let begin = move || Running::start(self);
        let running = begun(directory, path, begin, |late| late.into_iter().for_each(|mut late| late.end()));
        heard(running.await??, bounds, hear).await
    }

    /// [`Program::run`] of one that is made by the thread that starts it, since files are looked at for that, too.
    /// `path` stands for it where it hangs in that directory. What `make` gives beside it goes when it has ended.
    ///
    /// # Errors
    /// It was not made; within, as [`Program::run`].
    pub async fn run_made<K: Send + 'static, E: Send + 'static>(
        directory: PathBuf,
        path: PathBuf,
        make: impl FnOnce() -> Result<(Program, K), E> + Send + 'static,
    ) -> Result<Result<Ended, ProgramError>, E> {
        let begin = move || {
            let (program, kept) = make()?;
            let bounds = (program.limit, program.most);
            Ok::<_, E>(Running::start(program).map(|running| (running, bounds, kept)))
        };
        type Begun<K, E> = Result<Result<(Running, (Duration, usize), K), ProgramError>, E>;
        let late = |late: Begun<K, E>| {
            if let Ok(Ok((mut running, ..))) = late {
                Running::end(&mut running);
            }
        };
        match begun(Some(directory), path, begin, late).await {
            Err(e) | Ok(Ok(Err(e))) => Ok(Err(e)),
            Ok(Err(e)) => Err(e),
            Ok(Ok(Ok((running, bounds, _kept)))) => Ok(heard(running, bounds, |_, _| ()).await),
        }
    }
}

/// Has a thread of its own do it. What has begun when it was given up has come too `late`.
async fn begun<T: Send + 'static>(
    directory: Option<PathBuf>,
    program: PathBuf,
    begin: impl FnOnce() -> T + Send + 'static,
    late: impl FnOnce(T) + Send + 'static,
) -> Result<T, ProgramError> {
    let (here, mut begun) = oneshot::channel();
    let done = unless_its_start_hangs(directory.as_deref(), &program, move || {
        // where its directory has hung
        if here.is_closed() {
            return;
        }
        if let Err(running) = here.send(begin()) {
            late(running);
        }
    });
    let answers = done.await.is_some();
    begun.close();
    begun.try_recv().map_err(|_| start_error(&program, answers))
}

fn start_error(program: &Path, answers: bool) -> ProgramError {
    let problem = match answers {
        true => io::Error::other("it was interrupted"),
        false => io::Error::other("its file does not answer, as on a network file system that hangs"),
    };
    ProgramError::Start { program: program.to_owned(), problem }
}

/// Hears a program until it ends, within a time and a number of bytes.
async fn heard(
    mut running: Running,
    (limit, most): (Duration, usize),
    mut hear: impl FnMut(Stream, &str),
) -> Result<Ended, ProgramError> {
    let ended = tokio::time::timeout(limit, running.until_it_ends(most, &mut hear)).await;
    running.told.heard(true, &mut |line| hear(Stream::Output, line));
    running.said.heard(true, &mut |line| hear(Stream::Error, line));
    if !matches!(ended, Ok(Ok(Some(_)))) {
        running.end();
    }
    let errors = running.said.kept();
    let mut output = std::mem::take(&mut running.output);
    let is_too_much = output.len() > most;
    output.truncate(most);
    match ended {
        Ok(Ok(Some(status))) if !is_too_much => Ok(Ended { status, output, errors, cut: running.was_cut }),
        Ok(Ok(_)) => Err(ProgramError::TooMuch { most, output, errors }),
        Ok(Err(e)) => Err(ProgramError::Pipes(e)),
        Err(_) => Err(ProgramError::TooLong { limit, output, errors }),
    }
}
