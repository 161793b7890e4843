//! What a manifest says, done below a directory: a machine for each plugin, which fetches it and
//! keeps it as it is to be.
//!
//! Names are checked before anything is touched: nothing is written or removed but directories
//! of such a name right below the store.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::manifest::{Manifest, Plugin, is_name};
use crate::core::files;
use crate::core::machine::duration;
use crate::core::machine::host::DEFINITION;
use crate::core::programs::find;
use crate::core::protocol::filter::{Facts, PluginExpression, PluginView, Sight};

/// Ends the name of a file that says whose machine was removed a while ago.
const GONE: &str = ".gone";
/// How long a machine that was removed may go on with what it is fetching.
const FETCHES: Duration = Duration::from_secs(10 * 60);
/// Ends the name of a file that says which list was followed last.
const FOLLOWED: &str = ".followed";
/// Milliseconds that the clock of whoever packs a list may be ahead.
const AHEAD: i64 = 10 * 60 * 1000;
/// The file of checksums that is in each archive.
const SUMS: &str = "SHA256SUMS";

/// Where plugins are kept, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Where machines live.
    pub store: PathBuf,
    /// Where plugins are put; the same, mostly.
    pub plugins: PathBuf,
    /// What the names of their machines begin with.
    pub prefix: String,
    /// How often each is looked at.
    pub interval: Duration,
    /// Whether what is no longer on the list goes.
    pub purge: bool,
}

/// What was done.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Done {
    /// Plugins of this node.
    pub plugins: Vec<String>,
    /// Machines that were written or removed.
    pub changed: usize,
    /// Matchers that say neither yes nor no: what is there of theirs stays.
    pub problems: Vec<String>,
}

/// This machine.
pub struct Here;

impl Sight for Here {
    fn has_file(&self, path: &str) -> bool {
        Path::new(path).exists()
    }

    fn has_directory(&self, path: &str) -> bool {
        Path::new(path).is_dir()
    }

    fn has_command(&self, name: &str) -> bool {
        find(name, std::env::var_os("PATH").as_deref()).is_some()
    }
}

/// Whether a plugin is for a node.
///
/// # Errors
/// Nobody knows; in words.
pub fn is_for(plugin: &Plugin, node: &PluginView<'_>) -> Result<bool, String> {
    match plugin.matcher.trim() {
        "" => Ok(true),
        // what is not known of the node may well be true of it
        matcher if matcher.contains("fact") && node.facts.are_broken() => {
            Err(format!("{matcher}: the facts of this node cannot be read"))
        }
        matcher => {
            let expression = PluginExpression::compile(matcher)?;
            expression.evaluate(node).map_err(|e| format!("{matcher}: {e}"))
        }
    }
}

impl Place {
    fn machine(&self, name: &str) -> String {
        format!("{}_{name}", self.prefix)
    }

    /// The machine of a plugin, as the original writes it: a node that changes programs keeps its machines.
    pub fn render(&self, plugin: &Plugin) -> String {
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let interval = duration::show(i64::try_from(self.interval.as_nanos()).unwrap_or(i64::MAX));
        format!(
            "name: {name}\nversion: 1.0.0\ninitial_state: MANAGE\n\ntransitions:\n  - name: enter_maintenance\n    from: [ \
             MANAGE ]\n    destination: MAINTENANCE\n\n  - name: resume\n    from: [ MAINTENANCE ]\n    destination: \
             MANAGE\n\nwatchers:\n  - name: download\n    type: archive\n    interval: {interval}\n    state_match:\n      - \
             MANAGE\n    properties:\n      checksum: {checksum}\n      creates: {creates}\n      governor: {governor}\n      \
             password: {password}\n      source: {source}\n      target: {target}\n      username: {username}\n      verify: \
             \"SHA256SUMS\"\n      verify_checksum: {verify_checksum}\n",
            name = quoted(&self.machine(&plugin.name)),
            interval = quoted(&interval),
            checksum = quoted(&plugin.checksum),
            creates = quoted(&plugin.name),
            governor = quoted(&plugin.governor),
            password = quoted(&plugin.password),
            source = quoted(&plugin.source),
            target = quoted(&self.plugins.to_string_lossy()),
            username = quoted(&plugin.username),
            verify_checksum = quoted(&plugin.verify_checksum),
        )
    }

    /// Has a manifest done.
    ///
    /// # Errors
    /// A file or directory could not be written or removed; in words.
    pub fn manage(&self, manifest: &Manifest, identity: &str, facts: &Facts) -> Result<Done, String> {
        let node = PluginView { identity, facts, sight: &Here };
        let (mut done, mut stays) = (Done::default(), vec![]);
        for plugin in &manifest.plugins {
            match is_for(plugin, &node) {
                Ok(false) => continue,
                Ok(true) => {}
                Err(problem) => {
                    // a typing mistake uninstalls nothing
                    done.problems.push(format!("the matcher of plugin {} fails: {problem}", plugin.name));
                    stays.push(self.machine(&plugin.name));
                    continue;
                }
            }
            done.plugins.push(plugin.name.clone());
            stays.push(self.machine(&plugin.name));
            match self.write(plugin) {
                Ok(changed) => done.changed += usize::from(changed),
                // it keeps none behind it from being there, and none that is withdrawn
                Err(e) => done
                    .problems
                    .push(format!("the machine of plugin {} cannot be written: {e}", plugin.name)),
            }
        }
        // one may be called as the machine of another would be
        stays.extend(done.plugins.iter().cloned());
        if self.purge {
            done.changed +=
                self.purged(&stays).map_err(|e| format!("what is left over cannot be removed: {e}"))?;
        }
        Ok(done)
    }

    /// Sees to it that a list that was followed once is not followed again after another one, whoever puts it back:
    /// of what is signed, the latest counts that was seen here.
    ///
    /// # Errors
    /// It is older, or was packed when it is not `now` yet, or what was followed last is not known; in words. Times
    /// are those of [`Manifest::packed`].
    pub fn follow(&self, manifest: &Manifest, now: i64) -> Result<(), String> {
        let file = self.store.join(format!(".{}{FOLLOWED}", self.prefix));
        let last = match files::read_bounded(&file, 64) {
            Ok(text) => std::str::from_utf8(&text).ok().and_then(|text| text.trim().parse().ok()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Some(0),
            Err(e) => return Err(e.to_string()),
        };
        let last: i64 = last.ok_or_else(|| {
            format!("{} does not say which list was followed last: remove it to follow any", file.display())
        })?;
        let next = manifest.packed();
        if next > now.saturating_add(AHEAD) {
            let shown = |at: i64| {
                jiff::Timestamp::from_millisecond(at).map_or("never".to_owned(), |at| at.to_string())
            };
            return Err(format!(
                "it was packed at {}, and here it is {}: the clock of one of both machines is wrong",
                shown(next),
                shown(now)
            ));
        }
        if next < last && next == 0 {
            return Err(
                "it does not say when it was packed, and one that does was followed before: pack it \
                        again by choria machine plugins pack"
                    .to_owned(),
            );
        }
        if next < last {
            return Err(format!(
                "it was packed before the one that was followed last: pack it again if it is meant, and where the clock \
                 was wrong by which that one was packed, remove {}",
                file.display()
            ));
        }
        if next > last {
            fs::create_dir_all(&self.store).map_err(|e| format!("{}: {e}", self.store.display()))?;
            files::write_atomic(&file, next.to_string().as_bytes(), files::SECRET)
                .map_err(|e| e.to_string())?;
        }
        Ok(())
    }

    /// Writes a machine; whether it was another one.
    fn write(&self, plugin: &Plugin) -> io::Result<bool> {
        let directory = self.store.join(self.machine(&plugin.name));
        let (file, text) = (directory.join(DEFINITION), self.render(plugin));
        if fs::symlink_metadata(&directory).is_ok_and(|found| !found.is_dir()) {
            return Err(io::Error::other(format!("{} is no directory", directory.display())));
        }
        // a password may be in it, so nobody else reads it
        match fs::read(&file) {
            Ok(there) if there == text.as_bytes() => return Ok(false),
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        if !directory.exists() {
            DirBuilder::new().recursive(true).mode(0o700).create(&directory)?;
        }
        files::write_atomic(&file, text.as_bytes(), files::SECRET)?;
        Ok(true)
    }

    /// Removes machines of ours that are on the list no more, and what they have fetched; also what one that was
    /// fetching meanwhile has left, which nobody looks after any more.
    fn purged(&self, stays: &[String]) -> io::Result<usize> {
        let (mut removed, start) = (0, format!("{}_", self.prefix));
        let entries = match fs::read_dir(&self.store) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(0),
            entries => entries?,
        };
        for entry in entries.flatten() {
            let file = entry.file_name().to_string_lossy().into_owned();
            let gone = file.strip_prefix('.').and_then(|file| file.strip_suffix(GONE));
            let machine = gone.unwrap_or(&file);
            let Some(name) = machine.strip_prefix(&start).filter(|name| is_name(name)) else { continue };
            let (stays, kind) = (stays.iter().any(|stays| stays == machine), entry.file_type()?);
            match gone {
                Some(_) if !kind.is_file() => {}
                Some(_) if stays => fs::remove_file(entry.path())?,
                Some(_) => {
                    let late = self.plugins.join(name);
                    // what was fetched has its checksums; what somebody has made meanwhile has not
                    if late.join(SUMS).is_file() && remove_directory(&late)? {
                        tracing::info!(
                            "{} was fetched while it was removed, and is removed again",
                            late.display()
                        );
                        removed += 1;
                    }
                    let age = entry.metadata()?.modified()?.elapsed().unwrap_or_default();
                    if age > FETCHES {
                        fs::remove_file(entry.path())?;
                    }
                }
                // a link is somebody's, and leads elsewhere
                None if stays || !kind.is_dir() => {}
                None => {
                    files::write_atomic(&self.store.join(format!(".{machine}{GONE}")), b"", files::SECRET)?;
                    fs::remove_dir_all(entry.path())?;
                    remove_directory(&self.plugins.join(name))?;
                    removed += 1;
                }
            }
        }
        Ok(removed)
    }
}

/// Removes a directory with all in it; whether it was there. A link is left alone.
fn remove_directory(path: &Path) -> io::Result<bool> {
    if !fs::symlink_metadata(path).is_ok_and(|found| found.is_dir()) {
        return Ok(false);
    }
    fs::remove_dir_all(path).map(|()| true)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use serde_json::Value;

    use super::*;
    use crate::core::machine::definition::compile;

    fn plugin(name: &str, matcher: &str) -> Plugin {
        let sum = "ab".repeat(32);
        Plugin {
            name: name.to_owned(),
            source: format!("http://h/{name}.tgz"),
            username: String::new(),
            password: String::new(),
            verify_checksum: sum.clone(),
            checksum: sum,
            matcher: matcher.to_owned(),
            governor: String::new(),
            packed: 0,
        }
    }

    /// What was withdrawn does not come back with the list it was on.
    #[test]
    fn an_older_list_is_not_followed_again() {
        let dir = tempfile::tempdir().unwrap();
        let place = place(&dir.path().join("store"));
        let list = |packed: &[i64]| {
            let of = |(number, packed): (usize, &i64)| Plugin {
                packed: *packed,
                ..plugin(&format!("p{number}"), "")
            };
            Manifest { plugins: packed.iter().enumerate().map(of).collect(), emptied: 0 }
        };
        for (packed, follows) in [
            (&[][..], true),
            (&[0, 0], true),
            (&[5, 5], true),
            (&[5, 5], true),
            (&[4, 4], false),
            (&[9, 4], false),
            (&[0], false),
            (&[], false),
            (&[6], true),
        ] {
            assert_eq!(place.follow(&list(packed), 200).is_ok(), follows, "{packed:?}");
        }
        // an empty one neither, which takes everything away
        let empty = |emptied| place.follow(&Manifest { plugins: vec![], emptied }, 200).is_ok();
        assert!(!empty(5) && empty(100));
        assert!(place.follow(&list(&[101]), 200).is_ok());
        let older = place.follow(&list(&[6]), 200).unwrap_err();
        assert!(older.ends_with(".mm.followed"), "{older}");
        // one from the future would keep out all that is packed until then
        for (packed, follows) in [(201 + AHEAD, false), (200 + AHEAD, true)] {
            let list = place.follow(&list(&[packed]), 200);
            assert_eq!(list.is_ok(), follows, "{list:?}");
        }
        fs::write(dir.path().join("store/.mm.followed"), "101").unwrap();
        assert!(!empty(100));
        let file = dir.path().join("store/.mm.followed");
        assert_eq!(fs::read_to_string(&file).unwrap(), "101");
        fs::write(&file, "x").unwrap();
        assert!(place.follow(&list(&[200]), 200).unwrap_err().contains("remove it to follow any"));
    }

    fn place(store: &Path) -> Place {
        Place {
            store: store.to_owned(),
            plugins: store.to_owned(),
            prefix: "mm".to_owned(),
            interval: Duration::from_secs(15),
            purge: true,
        }
    }

    #[test]
    fn machines_are_written_as_the_original_writes_them() {
        let text = include_str!("../../../../tests/vectors/captured/machine-plugins.json");
        let captured: Value = serde_json::from_str(text).unwrap();
        let tool = Plugin {
            source: "http://127.0.0.1:28799/tool.tgz".to_owned(),
            username: "u".to_owned(),
            password: "p".to_owned(),
            checksum: "9e5a413d077f07f01f10dd09174ebea90fec579c92b73cb95815fd442288fc40".to_owned(),
            verify_checksum: "c81298f1e51de67f1243f92830ac39ad4c8938493915aaa6ab1b9d972267265d".to_owned(),
            ..plugin("tool", "")
        };
        let rendered = place(Path::new("/etc/choria/machine")).render(&tool);
        assert_eq!(rendered, captured["rendered_machine_yaml"].as_str().unwrap());
        assert!(compile(&rendered).is_ok());
        // nothing in a manifest is anything but a value
        let sly = Plugin { source: "http://h/\"\n    - evil: {{x}}".to_owned(), ..tool };
        let rendered = place(Path::new("/s")).render(&sly);
        assert!(!rendered.contains("\n    - evil"), "{rendered}");
    }

    #[test]
    fn what_is_on_the_list_is_there_and_what_is_not_goes() {
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("store");
        let (place, facts) = (place(&store), Facts::from_json("{}".to_owned()));
        let manage = |plugins: Vec<Plugin>| {
            place.manage(&Manifest { plugins, emptied: 0 }, "n1.example.net", &facts).unwrap()
        };
        let done =
            manage(vec![plugin("a", ""), plugin("b", "identity(\"^n1\")"), plugin("c", "identity(\"^n2\")")]);
        assert_eq!((done.plugins, done.changed), (vec!["a".to_owned(), "b".to_owned()], 2));
        let file = store.join("mm_a/machine.yaml");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(manage(vec![plugin("a", ""), plugin("b", "")]).changed, 0, "the same is left alone");
        // what somebody else put there stays; what a plugin has fetched goes with it
        for name in ["own", "mm_", "b", "xx_a"] {
            fs::create_dir_all(store.join(name)).unwrap();
        }
        let outside = dir.path().join("outside");
        fs::create_dir(&outside).unwrap();
        symlink(&outside, store.join("mm_link")).unwrap();
        symlink(&outside, store.join("link")).unwrap();
        // a matcher that cannot be keeps what is there
        let done = manage(vec![plugin("a", "nosuch")]);
        assert_eq!((done.problems.len(), done.changed), (1, 1), "{:?}", done.problems);
        let mut left: Vec<String> =
            fs::read_dir(&store).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        left.sort();
        assert_eq!(left, [".mm_b.gone", "link", "mm_", "mm_a", "mm_link", "own", "xx_a"]);
        // nor does it stay when it was being fetched at that moment
        let machine = store.join("b");
        fs::create_dir(&machine).unwrap();
        fs::write(machine.join(SUMS), "").unwrap();
        let b_is_gone = |plugins: Vec<Plugin>| {
            manage(plugins);
            !machine.exists()
        };
        assert!(b_is_gone(vec![plugin("a", "")]));
        // one that somebody has made is theirs
        fs::create_dir(&machine).unwrap();
        assert!(!b_is_gone(vec![plugin("a", "")]));
        fs::remove_dir(&machine).unwrap();
        // until it is wanted again
        manage(vec![plugin("a", ""), plugin("b", "")]);
        fs::create_dir(&machine).unwrap();
        assert!(!b_is_gone(vec![plugin("a", ""), plugin("b", "")]));
        assert!(!store.join(".mm_b.gone").exists());
        assert!(outside.exists());
        // and no link is written through
        symlink(&outside, store.join("mm_d")).unwrap();
        let done = manage(vec![plugin("d", ""), plugin("e", "")]);
        assert!(
            matches!(&done.problems[..], [one] if one.contains("plugin d cannot be written")),
            "{done:?}"
        );
        // it keeps nothing else from being done
        assert!(store.join("mm_e").exists() && !store.join("mm_a").exists());
        // one that is called as the machine of another stays where it is
        fs::create_dir(store.join("mm_f")).unwrap();
        manage(vec![plugin("mm_f", "")]);
        assert!(store.join("mm_f").exists() && !store.join("mm_e").exists());
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    }

    #[test]
    fn facts_that_cannot_be_read_uninstall_nothing() {
        let facts = Facts::unknown();
        let node = PluginView { identity: "n1", facts: &facts, sight: &Here };
        assert_eq!(is_for(&plugin("a", ""), &node), Ok(true));
        let told = is_for(&plugin("a", "get_fact(\"country\") == \"mt\""), &node).unwrap_err();
        assert!(told.contains("the facts of this node cannot be read"), "{told}");
    }
}
