//! `choria tool provisioner`: where a node would wait to be provisioned.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;
use argh::{ArgsInfo, FromArgs};
use choria::core::build;
use choria::core::provisioning::{JwtResolver, Setup, TargetResolver};

use super::super::context;
use super::super::out::outln;

/// show the brokers an unconfigured node would wait at
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "provisioner")]
pub struct Provisioner {
    /// token file; default is the one compiled in, see buildinfo
    #[argh(option, arg_name = "file")]
    provisioning_token: Option<PathBuf>,
}

impl Provisioner {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let mut setup = Setup::of_build(&build::profile().provisioning);
        if let Some(file) = self.provisioning_token {
            setup.token_file = file;
        }
        let told = JwtResolver.configure(&mut setup);
        if !setup.knows_brokers() {
            let why =
                if told.is_empty() { "there is no provisioning token".to_owned() } else { told.join("; ") };
            bail!("an unconfigured node has nowhere to wait: {why}");
        }
        outln!("Provisioning targets of the {}:", JwtResolver.name());
        outln!("");
        let targets = JwtResolver.targets(&setup)?;
        let found = context::block_on(targets.resolve())??;
        if found.is_empty() {
            bail!("no broker is found by the SRV records of {}", setup.srv_domain);
        }
        found.iter().for_each(|target| outln!("  {target}"));
        Ok(ExitCode::SUCCESS)
    }
}
