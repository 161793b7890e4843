//! `choria governor add`: makes a governor, or has one that is there as it is wanted.

use std::process::ExitCode;

use anyhow::bail;
use argh::{ArgsInfo, FromArgs};
use choria::core::streams::governor::{check_name, subject};
use choria::core::streams::{Governor, GovernorConfig};

use super::{looking, with_streams};
use crate::cmd::Globals;
use crate::cmd::out::outln;
use crate::cmd::streams::{spoken, sure, time};

/// make a governor, or change one; needs a privileged certificate where they go by name
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "add")]
pub struct Add {
    /// do not ask before one that is there is changed
    #[argh(switch, short = 'f')]
    force: bool,
    /// name of the governor
    #[argh(positional)]
    name: String,
    /// slots it has
    #[argh(positional)]
    capacity: u64,
    /// after so long a slot is free in any case, such as 20m; 0s for never
    #[argh(positional)]
    expire: String,
    /// copies, default 1; those of one that is there stay
    #[argh(positional, default = "1")]
    replicas: i64,
}

impl Add {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        check_name(&self.name)?;
        let expire = time("EXPIRE", &self.expire)?;
        check(self.capacity, self.replicas)?;
        with_streams(globals, async |reached| {
            let collective = reached.collective(None)?;
            let governor = Governor::new(&reached.streams, &collective, &self.name)?;
            let subject = subject(&collective, &self.name);
            let wanted = GovernorConfig { capacity: self.capacity, expire, replicas: self.replicas, subject };
            match governor.info().await? {
                None => governor.create(&wanted).await?,
                Some((now, info)) => {
                    let changes = changes(&now, &wanted);
                    if changes.is_empty() {
                        outln!("Governor {} is as wanted already", self.name);
                        return Ok(());
                    }
                    changes.iter().for_each(|change| outln!("{change}"));
                    sure(self.force, &format!("change governor {}", self.name))?;
                    governor.change(&info, &wanted).await?;
                }
            }
            looking::view(&governor).await
        })
    }
}

/// What no governor can be.
pub fn check(capacity: u64, replicas: i64) -> anyhow::Result<()> {
    if capacity == 0 {
        bail!("a governor without a slot lets nobody in, at least one is needed");
    }
    if !(1..=5).contains(&replicas) {
        bail!("{replicas} copies are not between 1 and 5");
    }
    Ok(())
}

/// What would become different, a line each.
fn changes(now: &GovernorConfig, wanted: &GovernorConfig) -> Vec<String> {
    let mut lines = vec![];
    let mut line = |what: &str, now: String, wanted: String| {
        if now != wanted {
            lines.push(format!("{what}: {now} becomes {wanted}"));
        }
    };
    line("Capacity", now.capacity.to_string(), wanted.capacity.to_string());
    line("Expires", spoken(now.expire), spoken(wanted.expire));
    line("Subject", now.subject.clone(), wanted.subject.clone());
    lines
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_changes_is_told_and_copies_do_not() {
        let now = GovernorConfig {
            capacity: 1,
            expire: Duration::from_secs(60),
            replicas: 1,
            subject: "c.governor.G".to_owned(),
        };
        assert_eq!(changes(&now, &GovernorConfig { replicas: 3, ..now.clone() }), [""; 0]);
        let wanted = GovernorConfig { capacity: 2, expire: Duration::ZERO, ..now.clone() };
        assert_eq!(changes(&now, &wanted), ["Capacity: 1 becomes 2", "Expires: 1m becomes never"]);
    }
}
