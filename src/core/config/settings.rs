//! What a row of the [table](super::table) becomes: a typed field of
//! `Settings` and a [`Key`] that describes it.

use std::path::Path;
use std::time::Duration;

use super::Role;
use super::values::{Raw, ValueError, check_items, parse_bool, parse_configured_duration, show_duration};

/// Which personality reads a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Roles {
    /// Servers, brokers and clients alike.
    All,
    /// Commands people type.
    Client,
    /// The node daemon.
    Server,
    /// Broker, federation broker and adapters.
    Broker,
}

/// How the text of a value is read (spec 03 §1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text as written.
    Text,
    /// Text whose leading `~` becomes the home directory.
    Path,
    /// Text whose first letter is made upper case.
    Title,
    /// Decimal integer.
    Int,
    /// `1 yes true y t` or `0 no false n f`, any case.
    Bool,
    /// Seconds without a unit, otherwise number and unit.
    Duration,
    /// Comma separated; a later line replaces an earlier one.
    CommaList,
    /// A [`Kind::CommaList`] of regular expressions that name certificates.
    NameList,
    /// A [`Kind::CommaList`] of addresses and networks.
    HostList,
    /// Separated as in `PATH`; every line adds.
    PathList,
    /// One item a line; every line adds.
    Lines,
}

/// What is special about a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flag {
    /// Its value is never shown.
    Secret,
    /// It guards something: a value that cannot be read, or none, is an error
    /// and no warning, because what would count instead may guard less.
    Guard,
    /// What it configures is not in this version: whoever sets it is told.
    Unused,
}

/// One key as documentation and tools see it.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Name in a file, such as `plugin.choria.use_srv`.
    pub name: &'static str,
    /// How its value is read.
    pub kind: Kind,
    /// Default as it would be written in a file; empty = unset.
    pub default: &'static str,
    /// Who reads it.
    pub roles: Roles,
    /// One line of documentation.
    pub doc: &'static str,
    /// Environment variable that overrides files.
    pub env: Option<&'static str>,
    /// The only values accepted; empty = any.
    pub one_of: &'static [&'static str],
    /// What is special about it.
    pub flags: &'static [Flag],
}

impl Key {
    /// Whether the value is never shown.
    pub fn is_secret(&self) -> bool {
        self.flags.contains(&Flag::Secret)
    }

    /// The default as [`Slot::show`] writes it: `action_policy` is a title.
    #[cfg(test)]
    pub(super) fn default_as_shown(&self) -> String {
        match self.kind {
            Kind::Title => format!("A{}", self.default.trim_start_matches('a')),
            _ => self.default.to_string(),
        }
    }

    /// Whether a malformed value ends the start of whoever reads it.
    pub fn is_guard(&self) -> bool {
        self.flags.contains(&Flag::Guard)
    }

    /// Whether this version acts on it.
    pub fn is_used(&self) -> bool {
        !self.flags.contains(&Flag::Unused)
    }

    /// Whether a process of `role` reads it.
    pub fn concerns(&self, role: Role) -> bool {
        match self.roles {
            Roles::All => true,
            Roles::Client => role == Role::Client,
            Roles::Server => role == Role::Server,
            Roles::Broker => role == Role::Broker,
        }
    }

    /// Whether its value is a list between commas.
    pub(super) fn is_comma_list(&self) -> bool {
        matches!(self.kind, Kind::CommaList | Kind::NameList | Kind::HostList)
    }

    /// Reads `raw` into `slot`. A malformed value leaves the slot as it was.
    pub(super) fn assign(
        &self,
        slot: &mut dyn Slot,
        raw: &Raw,
        home: Option<&Path>,
    ) -> Result<(), ValueError> {
        if !self.one_of.is_empty() {
            let text = raw.text();
            if !self.one_of.contains(&text.as_str()) {
                return Err(ValueError::NotOneOf { text, one_of: self.one_of.join(", ") });
            }
        }
        slot.assign(self.kind, raw, home)
    }
}

/// A typed field that can be set from text and shown as text.
pub(super) trait Slot {
    fn assign(&mut self, kind: Kind, raw: &Raw, home: Option<&Path>) -> Result<(), ValueError>;
    /// The value as it would be written in a file.
    fn show(&self) -> String;
}

fn expand_home(text: &str, home: Option<&Path>) -> String {
    match (text.strip_prefix('~'), home) {
        // `~name` is another user's home, which we do not look up: left as written.
        (Some(rest), Some(home)) if rest.is_empty() || rest.starts_with('/') => {
            format!("{}{rest}", home.display())
        }
        _ => text.to_string(),
    }
}

impl Slot for String {
    fn assign(&mut self, kind: Kind, raw: &Raw, home: Option<&Path>) -> Result<(), ValueError> {
        let text = raw.text();
        *self = match kind {
            Kind::Path => expand_home(&text, home),
            Kind::Title => {
                let mut letters = text.chars();
                letters.next().map(|c| c.to_uppercase().chain(letters).collect()).unwrap_or_default()
            }
            _ => text,
        };
        Ok(())
    }

    fn show(&self) -> String {
        self.clone()
    }
}

impl Slot for i64 {
    fn assign(&mut self, _: Kind, raw: &Raw, _: Option<&Path>) -> Result<(), ValueError> {
        let text = raw.text();
        *self = text.trim().parse().map_err(|_| ValueError::NotAnInteger(text))?;
        Ok(())
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Slot for bool {
    fn assign(&mut self, _: Kind, raw: &Raw, _: Option<&Path>) -> Result<(), ValueError> {
        // The original makes a malformed boolean false, which would turn a
        // mistyped `rpcauthorization = treu` into "everybody may".
        *self = parse_bool(&raw.text())?;
        Ok(())
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Slot for Duration {
    fn assign(&mut self, _: Kind, raw: &Raw, _: Option<&Path>) -> Result<(), ValueError> {
        *self = parse_configured_duration(&raw.text())?;
        Ok(())
    }

    fn show(&self) -> String {
        show_duration(*self)
    }
}

impl Slot for Vec<String> {
    fn assign(&mut self, kind: Kind, raw: &Raw, home: Option<&Path>) -> Result<(), ValueError> {
        match kind {
            Kind::PathList => {
                self.extend(raw.items(':').iter().map(|path| expand_home(path, home)));
            }
            Kind::Lines => match raw {
                Raw::Text(line) => self.push(line.clone()),
                Raw::List(lines) => self.extend(lines.iter().cloned()),
            },
            _ => {
                // The original keeps empty items: after a comma too many in
                // `certname_whitelist` every certificate is a client.
                let items: Vec<String> = raw.items(',').into_iter().filter(|item| !item.is_empty()).collect();
                check_items(kind, &items)?;
                *self = items;
            }
        }
        Ok(())
    }

    fn show(&self) -> String {
        self.join(",")
    }
}

/// Turns the rows of the table into `Settings` and `KEYS`.
macro_rules! settings {
    ($( $field:ident : $ty:ty = $key:literal, $kind:ident, $default:literal, $role:ident, $doc:literal
        $(, env = $env:literal)? $(, one_of = [$($one:literal),+])? $(, flags = [$($flag:ident),+])? ; )+) => {
        /// The value of every key, typed. Empty text and empty lists mean
        /// "not set"; integers called a timeout or an interval are seconds.
        #[derive(Clone)]
        pub struct Settings {
            $( #[doc = $doc] #[doc = concat!("\n\nKey `", $key, "`.")] pub $field: $ty, )+
        }

        /// Every key, in the order of the table.
        pub(super) static KEYS: &[Key] = &[ $( Key {
            name: $key,
            kind: Kind::$kind,
            default: $default,
            roles: Roles::$role,
            doc: $doc,
            env: settings!(@env $($env)?),
            one_of: &[ $($($one),+)? ],
            flags: &[ $($(Flag::$flag),+)? ],
        } ),+ ];

        impl Settings {
            /// All fields empty; [`Default`] then reads the defaults into them.
            fn unset() -> Self {
                Settings { $( $field: Default::default(), )+ }
            }

            pub(super) fn slot(&mut self, name: &str) -> Option<&mut dyn Slot> {
                match name { $( $key => Some(&mut self.$field), )+ _ => None }
            }

            pub(super) fn peek(&self, name: &str) -> Option<&dyn Slot> {
                match name { $( $key => Some(&self.$field), )+ _ => None }
            }
        }
    };
    (@env) => { None };
    (@env $env:literal) => { Some($env) };
}
pub(super) use settings;
