//! What a plan sees while it is only looked at: modules, and nothing else.

use choria::core::playbook::Modules;
use choria::core::puppet::host::{Host, Kind, Level, Trouble};
use choria::core::puppet::{Source, host};

pub struct Offline<'m>(pub &'m Modules);

impl Host for Offline<'_> {
    fn log(&mut self, _: Level, _: &str) {}

    fn source(&mut self, kind: Kind, name: &str) -> Result<Option<Source>, host::Trouble> {
        self.0.source(kind, name)
    }

    fn ruby(&mut self, function: &str) -> Option<String> {
        self.0.ruby(function)
    }

    fn now(&mut self) -> i64 {
        0
    }

    fn file(&mut self, name: &str) -> Result<Option<Vec<u8>>, Trouble> {
        self.0.content(name)
    }
}
