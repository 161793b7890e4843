//! Finding files and reading them in order (spec 03 §§1.1–1.4).

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::{fs, io};

use super::lines::{Entry, Lines, MAX_BYTES, Unsaid, parse_lines, parse_toml};
use super::table::{KEYS, Settings};
use super::values::ValueError;
use super::{
    Config, ConfigError, Environment, Fixed, Key, Origin, Raw, Role, System, Warning, known, normalise,
    unused,
};
use crate::core::files::{read_bounded, read_judged};

/// Most files read from `plugin.d`.
const MAX_DROP_INS: usize = 1_000;
/// Whether brokers are looked for in DNS.
const USE_SRV: &str = "plugin.choria.use_srv";
const USE_SRV_2018: &str = "plugin.choria.use_srv_records";
/// Most warnings kept; a file with more is not a configuration.
const MAX_WARNINGS: usize = 1_000;

impl Config {
    /// Reads the configuration of `role`.
    ///
    /// Clients without `explicit` use the first file that exists of
    /// `~/.choriarc`, `~/.mcollective`, `/etc/choria/client.conf`,
    /// `/usr/local/etc/choria/client.conf`,
    /// `/etc/puppetlabs/mcollective/client.cfg`; daemons need `explicit`.
    ///
    /// # Errors
    /// [`ConfigError`]: no file, an unreadable one, or settings that would
    /// switch verification off. Everything else is in [`Config::warnings`].
    pub fn load(role: Role, explicit: Option<&Path>, env: &dyn Environment) -> Result<Config, ConfigError> {
        normalise::refuse_insecure_environment(role, env)?;
        let main = match explicit {
            Some(path) => path.to_path_buf(),
            None if role == Role::Client => user_file(env)?,
            None => return Err(ConfigError::FileRequired(role.as_str())),
        };
        let mut loading = Loading::new(role, env);
        loading.main_file(&main)?;
        let dir = loading.config.dir();
        loading.drop_ins(&dir.join("plugin.d"))?;
        if role == Role::Client {
            loading.project_files()?;
        }
        loading.finish()
    }

    /// A configuration without files, for commands that do not need one.
    ///
    /// # Errors
    /// As [`Config::load`], for environment variables.
    pub fn defaults(role: Role, env: &dyn Environment) -> Result<Config, ConfigError> {
        normalise::refuse_insecure_environment(role, env)?;
        Loading::new(role, env).finish()
    }

    /// Reads `text` as a main file, for tests and embedders: no other files,
    /// no environment variables, no DNS, facter or Puppet.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn from_text(role: Role, text: &str) -> Result<Config, ConfigError> {
        Config::from_text_in(role, text, &Fixed { hostname: System.hostname(), ..Fixed::default() })
    }

    /// [`Config::from_text`] in a given environment.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn from_text_in(role: Role, text: &str, env: &dyn Environment) -> Result<Config, ConfigError> {
        normalise::refuse_insecure_environment(role, env)?;
        let mut loading = Loading::new(role, env);
        loading.apply_lines(Path::new("configuration"), "", parse_lines(text))?;
        loading.finish()
    }

    /// [`Config::from_text`], with `file` as the path of its main file: for
    /// tests of what lives beside it (policies, token files). Nothing is read.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn from_text_at(role: Role, text: &str, file: &Path) -> Result<Config, ConfigError> {
        Ok(Config::from_text(role, text)?.placed_at(file))
    }

    /// With `file` as the path of its main file; nothing is read.
    pub fn placed_at(mut self, file: &Path) -> Config {
        self.file = Some(file.to_path_buf());
        self
    }
}

/// The file a user command reads when none is named.
fn user_file(env: &dyn Environment) -> Result<PathBuf, ConfigError> {
    let home = env.home().into_iter().flat_map(|home| [home.join(".choriarc"), home.join(".mcollective")]);
    let system = [
        "/etc/choria/client.conf",
        "/usr/local/etc/choria/client.conf",
        "/etc/puppetlabs/mcollective/client.cfg",
    ];
    let places: Vec<PathBuf> = home.chain(system.into_iter().map(PathBuf::from)).collect();
    places.iter().find(|place| place.is_file()).cloned().ok_or_else(|| {
        ConfigError::NotFound(places.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(", "))
    })
}

/// A configuration while its files are read.
struct Loading<'a> {
    config: Config,
    env: &'a dyn Environment,
    home: Option<PathBuf>,
}

impl<'a> Loading<'a> {
    fn new(role: Role, env: &'a dyn Environment) -> Self {
        let config = Config {
            settings: Settings::default(),
            role,
            file: None,
            files: Vec::new(),
            raw: Default::default(),
            warnings: Vec::new(),
        };
        Loading { config, env, home: env.home() }
    }

    fn main_file(&mut self, path: &Path) -> Result<(), ConfigError> {
        self.config.file = Some(path.to_path_buf());
        self.file(path, "")
    }

    /// Files of `plugin.d`, by name. Keys of `NAME.cfg`, `NAME.conf` or
    /// `NAME.toml` get `plugin.NAME.` before them, and typed ones apply
    /// whatever NAME is: in the original only `choria.cfg` reaches the typed
    /// settings, `.conf` files are never opened, and all are skipped for files
    /// below the home directory, each without a word.
    fn drop_ins(&mut self, dir: &Path) -> Result<(), ConfigError> {
        let listing = match fs::read_dir(dir) {
            Ok(listing) => listing,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(e) => {
                let source = std::io::Error::new(e.kind(), format!("cannot read {}: {e}", dir.display()));
                return Err(ConfigError::Unreadable { path: dir.to_path_buf(), source });
            }
        };
        let mut paths: Vec<PathBuf> = listing
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .filter(|path| is_one_of(path, &["cfg", "conf", "toml"]) && path.is_file())
            .collect();
        paths.sort();
        if paths.len() > MAX_DROP_INS {
            self.warn(dir, 0, format!("more than {MAX_DROP_INS} files, the rest is ignored"));
            paths.truncate(MAX_DROP_INS);
        }
        for path in paths {
            let Some(name) = path.file_stem().and_then(|name| name.to_str()) else { continue };
            let prefix = format!("plugin.{name}.");
            self.file(&path, &prefix)?;
        }
        Ok(())
    }

    /// `choria.conf` of every directory from the root to the working directory,
    /// where it is the user's own or root's: in `/tmp` anybody could lay one out
    /// that names another CA, or a log file to be appended to.
    fn project_files(&mut self) -> Result<(), ConfigError> {
        let Some(here) = self.env.working_dir() else { return Ok(()) };
        let mut dirs: Vec<&Path> = here.ancestors().collect();
        dirs.reverse();
        for path in dirs.into_iter().map(|dir| dir.join("choria.conf")).filter(|path| path.is_file()) {
            // The main file may itself be called choria.conf.
            let same = |other: &PathBuf| fs::canonicalize(other).ok() == fs::canonicalize(&path).ok();
            if self.config.files.iter().any(same) {
                continue;
            }
            let euid = self.env.euid();
            let trusted = |m: &fs::Metadata| [0, euid].contains(&m.uid()) && m.mode() & 0o002 == 0;
            match read_judged(&path, MAX_BYTES, |found| Ok::<_, io::Error>(trusted(found))) {
                Ok((bytes, true)) => self.text(&path, "", &bytes)?,
                Ok((_, false)) => {
                    let text = "is neither yours nor root's, or anybody may write it: ignored".to_owned();
                    self.warn(&path, 0, text);
                }
                Err(source) => return Err(ConfigError::Unreadable { path, source }),
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &Path, prefix: &str) -> Result<(), ConfigError> {
        let bytes = read_bounded(path, MAX_BYTES)
            .map_err(|source| ConfigError::Unreadable { path: path.to_path_buf(), source })?;
        self.text(path, prefix, &bytes)
    }

    fn text(&mut self, path: &Path, prefix: &str, bytes: &[u8]) -> Result<(), ConfigError> {
        let text = String::from_utf8_lossy(bytes);
        let lines = if is_one_of(path, &["toml"]) {
            parse_toml(&text).map_err(|reason| ConfigError::NotToml { path: path.to_path_buf(), reason })?
        } else {
            parse_lines(&text)
        };
        self.config.files.push(path.to_path_buf());
        self.apply_lines(path, prefix, lines)
    }

    fn apply_lines(&mut self, path: &Path, prefix: &str, lines: Lines) -> Result<(), ConfigError> {
        for Unsaid { line, key, text } in lines.problems {
            let row = KEYS.iter().find(|row| row.name == format!("{prefix}{key}"));
            if let Some(row) = row.filter(|row| row.is_guard()) {
                let place = Origin::File { path: path.to_path_buf(), line }.to_string();
                return Err(ConfigError::guard(place, row, ValueError::NotAValue(text.to_owned())));
            }
            let key = if text.starts_with("is not") { "" } else { &key };
            self.warn(path, line, format!("{key} {text}, ignored").trim_start().to_owned());
        }
        for Entry { key, value, line } in lines.entries {
            let key = format!("{prefix}{key}");
            let origin = Origin::File { path: path.to_path_buf(), line };
            self.apply(&key, value, origin)?;
        }
        Ok(())
    }

    fn apply(&mut self, key: &str, value: Raw, origin: Origin) -> Result<(), ConfigError> {
        let (file, line) = match &origin {
            Origin::File { path, line } => (path.clone(), *line),
            other => (PathBuf::from(other.to_string()), 0),
        };
        let row = KEYS.iter().find(|row| row.name == key);
        let is_list = row.is_some_and(Key::is_comma_list);
        if is_list && value.items(',').iter().any(String::is_empty) {
            self.warn(&file, line, format!("{key} has an empty item, ignored"));
        }
        match (row, self.config.settings.slot(key)) {
            (Some(row), Some(slot)) => {
                if let Err(source) = row.assign(slot, &value, self.home.as_deref()) {
                    if row.is_guard() {
                        return Err(ConfigError::guard(origin.to_string(), row, source));
                    }
                    // A secret may not even be quoted in a complaint about it.
                    let what = if row.is_secret() { "malformed".into() } else { source.to_string() };
                    self.warn(&file, line, format!("{key}: {what}, ignored"));
                    // Ignored in full: what counts keeps its own origin.
                    return Ok(());
                }
            }
            _ if self.config.warnings.len() < MAX_WARNINGS => {
                if let Some(complaint) = known::complaint(key, &value.text()) {
                    self.warn(&file, line, complaint);
                }
            }
            _ => {}
        }
        self.config.raw.insert(key.to_string(), (value.text(), origin));
        Ok(())
    }

    fn finish(mut self) -> Result<Config, ConfigError> {
        // The original honours these only for keys a file mentions; always is
        // what everybody expects.
        for row in KEYS {
            if let Some((name, value)) = row.env.and_then(|name| Some((name, self.env.var(name)?))) {
                self.apply(row.name, Raw::Text(value), Origin::Environment(name))?;
            }
        }
        // As it was called in 2018.
        let renamed = self.config.raw.get(USE_SRV_2018).cloned();
        if let Some((value, origin)) = renamed.filter(|_| !self.config.raw.contains_key(USE_SRV)) {
            self.apply(USE_SRV, Raw::Text(value), origin)?;
        }
        let Loading { mut config, env, .. } = self;
        normalise::normalise(&mut config, env)?;
        config.warnings.extend(unused::warnings(&config));
        Ok(config)
    }

    fn warn(&mut self, file: &Path, line: usize, text: String) {
        if self.config.warnings.len() < MAX_WARNINGS {
            self.config.warnings.push(Warning { file: file.to_path_buf(), line, text });
        }
    }
}

fn is_one_of(path: &Path, extensions: &[&str]) -> bool {
    path.extension().and_then(|e| e.to_str()).is_some_and(|e| extensions.contains(&e))
}
