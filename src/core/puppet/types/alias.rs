//! Names for types: those of modules, and well known ones.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock, Weak};

use super::{Kind, Type};
use crate::value::Text;

/// A name and, while its table lives, what it stands for. Names may stand for types that
/// hold the name again, so they hold no type themselves.
#[derive(Debug, Clone)]
pub struct Alias {
    name: Text,
    target: Weak<OnceLock<Type>>,
}

impl Alias {
    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it stands for.
    pub fn target(&self) -> Option<Type> {
        self.target.upgrade()?.get().cloned()
    }

    /// The same for the same entry of a table.
    pub(super) fn key(&self) -> usize {
        self.target.as_ptr().addr()
    }
}

impl PartialEq for Alias {
    fn eq(&self, other: &Alias) -> bool {
        self.name == other.name
    }
}

impl Eq for Alias {}

impl std::hash::Hash for Alias {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

/// The names that are known, each with its type once that is.
#[derive(Debug, Default)]
pub struct Aliases(HashMap<Text, Arc<OnceLock<Type>>>);

impl Aliases {
    /// A name whose type follows, so that the type may hold it.
    pub(crate) fn declare(&mut self, name: &Text) -> Type {
        let cell = self.0.entry(name.clone()).or_default();
        Type::leaf(Kind::Alias(Alias { name: name.clone(), target: Arc::downgrade(cell) }))
    }

    pub(crate) fn get(&mut self, name: &str) -> Option<Type> {
        let (name, cell) = self.0.get_key_value(name)?;
        Some(Type::leaf(Kind::Alias(Alias { name: name.clone(), target: Arc::downgrade(cell) })))
    }

    pub(crate) fn define(&mut self, name: &str, of: Type) {
        if let Some(cell) = self.0.get(name) {
            // the first definition stays
            let _ = cell.set(of);
        }
    }

    pub(crate) fn forget(&mut self, name: &str) {
        self.0.remove(name);
    }
}

/// Types of the modules that most tasks are written with, and ours.
pub(crate) fn built_in(name: &str) -> Option<&'static str> {
    const IPV4: &str = r"Pattern[/\A([0-9]|[1-9][0-9]|1[0-9]{2}|2[0-4][0-9]|25[0-5])(\.([0-9]|[1-9][0-9]|1[0-9]{2}|2[0-4][0-9]|25[0-5])){3}(\/([0-9]|[12][0-9]|3[0-2]))?\z/]";
    const IPV6: &str = r"Pattern[/\A(?=[^:]*:)[[:xdigit:]]{0,4}(:[[:xdigit:]]{0,4}){1,7}(:(\d{1,3}\.){3}\d{1,3})?(%\w+)?(\/(\d{1,2}|1[01][0-9]|12[0-8]))?\z/]";
    Some(match name {
        "Choria::Node" => "String[1]",
        "Choria::Nodes" => "Array[Choria::Node]",
        "Choria::ShellSafe" => r"Pattern[/\A([^`$;|&><]|&(?!&))*\z/]",
        "Stdlib::Absolutepath" => "Variant[Stdlib::Windowspath, Stdlib::Unixpath]",
        "Stdlib::Unixpath" => r"Pattern[/\A\/([^\n\/\0]+\/*)*\z/]",
        "Stdlib::Windowspath" => {
            r"Pattern[/\A(([a-zA-Z]:[\\\/])|([\\\/][\\\/][^\\\/]+[\\\/][^\\\/]+)|([\\\/][\\\/]\?[\\\/][^\\\/]+)).*\z/]"
        }
        "Stdlib::Fqdn" => {
            r"Pattern[/\A([A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?\.)*[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?\z/]"
        }
        "Stdlib::Host" => "Variant[Stdlib::Fqdn, Stdlib::IP::Address]",
        "Stdlib::Port" => "Integer[0, 65535]",
        "Stdlib::Port::Privileged" => "Integer[1, 1023]",
        "Stdlib::Port::Unprivileged" => "Integer[1024, 65535]",
        "Stdlib::Port::User" => "Integer[1024, 49151]",
        "Stdlib::HTTPUrl" => r"Pattern[/(?i:\Ahttps?:\/\/.*\z)/]",
        "Stdlib::HTTPSUrl" => r"Pattern[/(?i:\Ahttps:\/\/.*\z)/]",
        "Stdlib::Filesource" => {
            r"Variant[Stdlib::Absolutepath, Stdlib::HTTPUrl, Pattern[/\Afile:\/\/\/([^\n\/\0]+(\/)?)+\z/, /\Apuppet:\/\/(([\w-]+\.?)+)?\/([^\n\/\0]+(\/)?)+\z/]]"
        }
        "Stdlib::Filemode" => {
            r"Pattern[/\A(([0-7]{1,4})|(([ugoa]*([-+=]([rwxXst]*|[ugo]))+|[-+=][0-7]+)(,([ugoa]*([-+=]([rwxXst]*|[ugo]))+|[-+=][0-7]+))*))\z/]"
        }
        "Stdlib::IP::Address" => "Variant[Stdlib::IP::Address::V4, Stdlib::IP::Address::V6]",
        "Stdlib::IP::Address::V4" => IPV4,
        "Stdlib::IP::Address::V6" => IPV6,
        "Stdlib::IP::Address::Nosubnet" => {
            "Variant[Stdlib::IP::Address::V4::Nosubnet, Stdlib::IP::Address::V6::Nosubnet]"
        }
        "Stdlib::IP::Address::V4::Nosubnet" => {
            r"Pattern[/\A([0-9]|[1-9][0-9]|1[0-9]{2}|2[0-4][0-9]|25[0-5])(\.([0-9]|[1-9][0-9]|1[0-9]{2}|2[0-4][0-9]|25[0-5])){3}\z/]"
        }
        "Stdlib::IP::Address::V4::CIDR" => {
            r"Pattern[/\A([0-9]|[1-9][0-9]|1[0-9]{2}|2[0-4][0-9]|25[0-5])(\.([0-9]|[1-9][0-9]|1[0-9]{2}|2[0-4][0-9]|25[0-5])){3}\/([0-9]|[12][0-9]|3[0-2])\z/]"
        }
        "Stdlib::IP::Address::V6::CIDR" => {
            r"Pattern[/\A(?=[^:]*:)[[:xdigit:]]{0,4}(:[[:xdigit:]]{0,4}){1,7}(:(\d{1,3}\.){3}\d{1,3})?(%\w+)?\/(\d{1,2}|1[01][0-9]|12[0-8])\z/]"
        }
        "Stdlib::IP::Address::V6::Nosubnet" => {
            r"Pattern[/\A(?=[^:]*:)[[:xdigit:]]{0,4}(:[[:xdigit:]]{0,4}){1,7}(:(\d{1,3}\.){3}\d{1,3})?(%\w+)?\z/]"
        }
        "Stdlib::MAC" => r"Pattern[/\A([0-9A-Fa-f]{2}[:-]){5}([0-9A-Fa-f]{2})\z/]",
        "Stdlib::Base64" => r"Pattern[/\A[a-zA-Z0-9\/\+]+={0,2}\z/]",
        "Stdlib::Email" => r"Pattern[/\A[^@\s]+@[A-Za-z0-9.-]+\z/]",
        "Stdlib::Yes_no" => r"Pattern[/\A(?i:(yes|no))\z/]",
        "Stdlib::Ensure::Service" => "Enum['stopped', 'running']",
        "Stdlib::Ensure::File" => "Enum['present', 'file', 'directory', 'link', 'absent']",
        "Stdlib::Ensure::Package" => {
            r"Variant[Enum['present', 'absent', 'purged', 'disabled', 'installed', 'latest'], String[1]]"
        }
        "Stdlib::CreateResources" => "Hash[String[1], Hash[String[1], Any]]",
        "TargetSpec" => "Variant[String[1], Array[TargetSpec]]",
        _ => return None,
    })
}
