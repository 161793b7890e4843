//! Where daemons and commands look for a certificate, its key and the CA's certificate.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use choria::core::files::{PUBLIC, group_id, make_directory, read_bounded, write_atomic};
use choria::core::pki::{Ca, Issued, Kind};

use super::super::out::outln;

/// Where the installed configuration of daemons says that they are.
const OF_DAEMONS: &str = "/etc/choria/tls";
/// The user that brokers run as, and its group.
const USER: &str = "choria";
/// Longest CA certificate that is compared, in bytes.
const MAX_CA: u64 = 1 << 20;

/// A directory with the three files, under the names that samples of the configuration have.
#[derive(Clone)]
pub struct Place {
    kind: Kind,
    dir: PathBuf,
    /// The files are to be carried to another machine.
    elsewhere: bool,
}

impl Place {
    /// `out`, or where a `kind` looks on this machine.
    pub fn of(kind: Kind, out: Option<&str>) -> anyhow::Result<Place> {
        let dir = match (out, kind) {
            (Some(out), _) => PathBuf::from(out),
            (None, Kind::Client) => {
                let home = std::env::var_os("HOME").filter(|home| !home.is_empty());
                PathBuf::from(home.context("HOME is not set, say with --out where the files go")?)
                    .join(".choria")
            }
            (None, _) => PathBuf::from(OF_DAEMONS),
        };
        Ok(Place { kind, dir, elsewhere: out.is_some() })
    }

    /// Where they are.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub fn certificate(&self) -> PathBuf {
        self.dir.join("certificate.pem")
    }

    pub fn key(&self) -> PathBuf {
        self.dir.join("key.pem")
    }

    pub fn ca(&self) -> PathBuf {
        self.dir.join("ca.pem")
    }

    /// Whether nothing that is there would be replaced: asked before a certificate is made in vain.
    pub fn is_free(&self, ca: &str) -> anyhow::Result<()> {
        for file in [self.certificate(), self.key()] {
            if file.symlink_metadata().is_ok() {
                bail!(
                    "{} is there already: move it away first, or say with --out where else",
                    file.display()
                );
            }
        }
        if self.ca().exists() && read_bounded(&self.ca(), MAX_CA)? != ca.as_bytes() {
            bail!("{} is the certificate of another CA: say with --out where else", self.ca().display());
        }
        Ok(())
    }

    /// Writes the files, the CA's certificate among them. False: the daemon cannot read the key.
    pub fn put(&self, ca: &str, issued: &Issued) -> anyhow::Result<bool> {
        make_directory(&self.dir, 0o755)?;
        if !self.ca().exists() {
            write_atomic(&self.ca(), ca.as_bytes(), PUBLIC)?;
        }
        issued.write_to(&self.certificate(), &self.key())?;
        Ok(self.kind != Kind::Broker || self.elsewhere || self.of_the_user()?)
    }

    /// Writes the files and says what comes next.
    pub fn take(&self, ca: &Ca, issued: &Issued) -> anyhow::Result<()> {
        let readable = self.put(ca.certificate_pem(), issued)?;
        for file in [self.ca(), self.certificate(), self.key()] {
            outln!("installed {}", file.display());
        }
        outln!("");
        outln!("Next:");
        for line in self.next(&issued.name, readable) {
            outln!("  {line}");
        }
        Ok(())
    }

    /// Lets the broker's user read the key, where there is such a user and we may.
    fn of_the_user(&self) -> anyhow::Result<bool> {
        let Some(group) = group_id(USER).filter(|_| rustix::process::geteuid().is_root()) else {
            return Ok(false);
        };
        let key = self.key();
        std::os::unix::fs::chown(&key, None, Some(group))?;
        fs::set_permissions(&key, fs::Permissions::from_mode(0o640))?;
        Ok(true)
    }

    fn next(&self, name: &str, readable: bool) -> Vec<String> {
        let dir = self.dir.display();
        let mut lines = Vec::new();
        let (unit, config) = match self.kind {
            Kind::Broker => ("choria-broker", None),
            Kind::Node => ("choria-server", Some("/etc/choria/server.conf")),
            Kind::Client => ("", Some("/etc/choria/client.conf")),
        };
        match self.kind {
            Kind::Client if self.elsewhere => {
                return vec![
                    format!("for {name}, copy {dir} to ~/.choria of who is to use it; or, where they are, name them in a"),
                    "configuration: plugin.security.provider = file and plugin.security.file.certificate, .key and .ca"
                        .to_owned(),
                ];
            }
            _ if self.elsewhere => {
                lines.push(format!("copy {dir} to {OF_DAEMONS} of {name}, and there:"));
                if self.kind == Kind::Broker {
                    lines.push(format!("chgrp {USER} {OF_DAEMONS}/key.pem; chmod 0640 {OF_DAEMONS}/key.pem"));
                }
            }
            _ => {}
        }
        if !readable {
            let key = self.key();
            lines.push(format!("chgrp {USER} {key}; chmod 0640 {key}", key = key.display()));
        }
        lines.extend(config.map(|config| format!("name the broker in {config}")));
        lines.push(match self.kind {
            Kind::Client => "choria ping".to_owned(),
            _ => format!("systemctl enable --now {unit}"),
        });
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_next() {
        let next =
            |kind, out: Option<&str>, readable| Place::of(kind, out).unwrap().next("x", readable).join("; ");
        assert_eq!(next(Kind::Broker, None, true), "systemctl enable --now choria-broker");
        assert!(
            next(Kind::Broker, None, false).starts_with("chgrp choria /etc/choria/tls/key.pem; chmod 0640")
        );
        assert_eq!(
            next(Kind::Node, Some("n1"), true),
            "copy n1 to /etc/choria/tls of x, and there:; name the broker in /etc/choria/server.conf; systemctl enable --now choria-server"
        );
        assert!(next(Kind::Client, None, true).ends_with("; choria ping"));
        let elsewhere = next(Kind::Client, Some("me"), true);
        assert!(elsewhere.contains("copy me to ~/.choria") && !elsewhere.contains("ping"), "{elsewhere}");
    }
}
