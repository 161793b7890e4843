//! A fetched release takes the place of the running binary.

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{Context, SHA256};
use tempfile::NamedTempFile;

use super::{MAX_BINARY, Manifest, ReleaseError};
use crate::core::text::hex;

/// Longest a new binary may take to show its version.
const TRIAL: Duration = Duration::from_secs(10);

/// Where the binary lives.
pub fn dir(image: &Path) -> &Path {
    image.parent().unwrap_or(Path::new("/"))
}

/// Unpacks, checks and tries the binary, then puts it in the place of `image`.
pub fn install(mut packed: NamedTempFile, manifest: &Manifest, image: &Path) -> Result<(), ReleaseError> {
    packed.rewind()?;
    let input = BufReader::new(packed.as_file());
    let input: Box<dyn Read> = match manifest.binary.rsplit_once('.') {
        Some((_, "bz2")) => Box::new(bzip2::read::MultiBzDecoder::new(input)),
        Some((_, "gz")) => Box::new(flate2::read::MultiGzDecoder::new(input)),
        _ => Box::new(input),
    };
    let mut new = NamedTempFile::with_prefix_in(".choria-", dir(image))?;
    let hash = copy_hashed(input, new.as_file_mut()).map_err(|e| match e.kind() {
        // what is no archive is not what was released
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
            ReleaseError::Checksum
        }
        _ => ReleaseError::Files(e),
    })?;
    if !hash.eq_ignore_ascii_case(&manifest.hash) {
        return Err(ReleaseError::Checksum);
    }
    new.as_file().set_permissions(fs::metadata(image)?.permissions())?;
    new.as_file().sync_all()?;
    // Linux does not run what is open for writing.
    let new = new.into_temp_path();
    try_out(&new)?;
    let mut backup = image.as_os_str().to_owned();
    backup.push(".backup");
    let backup = PathBuf::from(backup);
    let aside = NamedTempFile::with_prefix_in(".choria-", dir(image))?.into_temp_path();
    fs::copy(image, &aside)?;
    aside.persist(&backup).map_err(|e| e.error)?;
    new.persist(image).map_err(|e| e.error)?;
    if let Ok(dir) = File::open(dir(image)) {
        let _ = dir.sync_all();
    }
    Ok(())
}

fn copy_hashed(mut input: impl Read, output: &mut File) -> io::Result<String> {
    let mut context = Context::new(&SHA256);
    let mut buffer = vec![0; 64 * 1024];
    let mut total = 0;
    loop {
        let read = input.read(&mut buffer)?;
        let Some(piece) = buffer.get(..read).filter(|piece| !piece.is_empty()) else { break };
        total += read as u64;
        if total > MAX_BINARY {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "the release is larger than any"));
        }
        context.update(piece);
        output.write_all(piece)?;
    }
    Ok(hex(context.finish().as_ref()))
}

/// Whether the new binary runs on this machine at all.
fn try_out(new: &Path) -> Result<(), ReleaseError> {
    let failed = |why: String| ReleaseError::DoesNotRun(why);
    let mode = fs::metadata(new)?.permissions().mode();
    if mode & 0o111 == 0 {
        return Err(failed("the running one is not executable either".to_owned()));
    }
    let mut command = Command::new(new);
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(|e| failed(e.to_string()))?;
    let deadline = Instant::now() + TRIAL;
    loop {
        match child.try_wait()? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => return Err(failed(format!("--version ended with {status}"))),
            None if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(20)),
            None => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(failed(format!("--version did not end within {} s", TRIAL.as_secs())));
            }
        }
    }
}
