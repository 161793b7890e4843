//! `choria governor api`: what the type `choria_governor` of Puppet reads and has done.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use argh::{ArgsInfo, FromArgs};
use choria::core::streams::governor::{check_name, subject};
use choria::core::streams::{Governor, GovernorConfig};
use serde_json::{Value, json};

use super::{add, all};
use crate::cmd::Globals;
use crate::cmd::streams::{Reached, api};

/// look after governors, for programs: one line of JSON
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "api")]
pub struct Api {
    /// say whether this works
    #[argh(switch)]
    check: bool,
    /// list governors
    #[argh(switch)]
    list: bool,
    /// have a governor as it is described
    #[argh(switch)]
    ensure: bool,
    /// remove a governor
    #[argh(switch)]
    delete: bool,
    /// name of the governor
    #[argh(option, arg_name = "governor")]
    name: Option<String>,
    /// slots, default 1
    #[argh(option, arg_name = "n", default = "1")]
    capacity: u64,
    /// seconds after which a slot is free in any case, default never
    #[argh(option, arg_name = "seconds", default = "0")]
    expire: u64,
    /// copies, default 1
    #[argh(option, arg_name = "n", default = "1")]
    replicas: i64,
    /// collective whose members ask for slots, default the main collective
    #[argh(option, arg_name = "name")]
    collective: Option<String>,
    /// make a governor anew, with all slots free, where that is the only way
    #[argh(switch)]
    force: bool,
}

/// A governor as Puppet knows it.
pub fn described(name: &str, config: &GovernorConfig) -> Value {
    let collective = config.subject.split(".governor.").next().unwrap_or_default();
    json!({
        "name": name, "capacity": config.capacity, "expire": config.expire.as_secs(), "replicas": config.replicas,
        "collective": collective,
    })
}

impl Api {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        api(self.done(globals))
    }

    fn done(&self, globals: &Globals) -> anyhow::Result<Value> {
        match [self.check, self.list, self.ensure, self.delete].iter().filter(|is| **is).count() {
            1 => {}
            _ => bail!("one of --check, --list, --ensure and --delete has to be given"),
        }
        if self.check {
            return Ok(json!({"api": "ok"}));
        }
        if !self.list && self.name.is_none() {
            bail!("--name is required");
        }
        crate::cmd::context::block_on(async {
            let reached = Reached::as_machine(globals).await?;
            let done = self.asked(&reached).await;
            reached.close().await;
            done
        })?
    }

    async fn asked(&self, reached: &Reached) -> anyhow::Result<Value> {
        let collective = reached.collective(self.collective.as_deref())?;
        if self.list {
            let governors = all(&reached.streams, &collective).await?;
            let all: Vec<Value> =
                governors.iter().map(|(governor, config, _)| described(governor.name(), config)).collect();
            return Ok(all.into());
        }
        let name = self.name.as_deref().context("--name is required")?;
        check_name(name)?;
        let governor = Governor::new(&reached.streams, &collective, name)?;
        if self.delete {
            governor.delete().await?;
            return Ok(json!({"success": true}));
        }
        self.ensured(&governor, &collective).await
    }

    async fn ensured(&self, governor: &Governor, collective: &str) -> anyhow::Result<Value> {
        add::check(self.capacity, self.replicas)?;
        let name = governor.name();
        let wanted = GovernorConfig {
            capacity: self.capacity,
            expire: Duration::from_secs(self.expire),
            replicas: self.replicas,
            subject: subject(collective, name),
        };
        match governor.info().await? {
            Some((now, info)) if now.replicas == wanted.replicas => governor.change(&info, &wanted).await?,
            Some((now, _)) if !self.force => bail!(
                "governor {name} has {} copies: it is only made anew with {}, and all slots free, by --force",
                now.replicas,
                wanted.replicas
            ),
            Some(_) => {
                governor.delete().await?;
                governor.create(&wanted).await?;
            }
            None => governor.create(&wanted).await?,
        }
        let (config, _) = governor.info().await?.with_context(|| format!("governor {name} is gone again"))?;
        Ok(described(name, &config))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_governor_is_described_as_puppet_reads_it() {
        let config = GovernorConfig {
            capacity: 2,
            expire: Duration::from_secs(90),
            replicas: 3,
            subject: "mcollective.governor.G".to_owned(),
        };
        assert_eq!(
            described("G", &config).to_string(),
            r#"{"name":"G","capacity":2,"expire":90,"replicas":3,"collective":"mcollective"}"#
        );
    }
}
