//! Units of systemd, asked of its manager (`org.freedesktop.systemd1`).

use std::path::Path;

use super::dbus::{Bus, BusError, Given, Method, Reader};

/// Where the manager itself listens, for root,
const PRIVATE: &str = "/run/systemd/private";
/// and where the bus of the system does, for everybody.
const SYSTEM: &str = "/run/dbus/system_bus_socket";
/// Most units of an answer.
const MOST: usize = 20_000;

/// A unit.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Unit {
    /// The name it was asked for by, which may be an alias.
    pub asked: String,
    /// Its name.
    pub name: String,
    /// `loaded`, `not-found`, `masked`, …
    pub load: String,
    /// `active`, `inactive`, `failed`, …
    pub active: String,
    /// `running`, `dead`, …
    pub sub: String,
}

/// Units of these names, whether or not they are there; or all that failed.
///
/// # Errors
/// The manager does not say.
pub async fn units(names: Option<&[&str]>) -> Result<Vec<Unit>, BusError> {
    let mut bus = connect().await?;
    let (name, list) = match names {
        Some(names) => ("ListUnitsByNames", names),
        None => ("ListUnitsFiltered", &["failed"][..]),
    };
    let body = bus.call(manager(name), Given::List(list)).await?;
    let broken = || BusError::Broken("systemd".to_owned(), "it is no list of units");
    Ok(as_asked(parse(&body).ok_or_else(broken)?, names.unwrap_or_default()))
}

/// Whether a unit is started with the machine: `enabled`, `disabled`, `static`, …; empty where
/// there is no such file.
///
/// # Errors
/// The manager does not say.
pub async fn file_state(name: &str) -> Result<String, BusError> {
    let mut bus = connect().await?;
    match bus.call(manager("GetUnitFileState"), Given::Text(name)).await {
        Ok(body) => Ok(Reader::new(&body).string().unwrap_or_default()),
        // it knows no such file
        Err(BusError::Said(_)) => Ok(String::new()),
        Err(e) => Err(e),
    }
}

fn manager(name: &str) -> Method<'_> {
    Method {
        destination: "org.freedesktop.systemd1",
        path: "/org/freedesktop/systemd1",
        interface: "org.freedesktop.systemd1.Manager",
        name,
    }
}

async fn connect() -> Result<Bus, BusError> {
    if let Ok(bus) = Bus::connect(Path::new(PRIVATE)).await {
        return Ok(bus);
    }
    on_bus(Path::new(SYSTEM)).await
}

/// On a bus of many, one says hello first.
async fn on_bus(socket: &Path) -> Result<Bus, BusError> {
    let mut bus = Bus::connect(socket).await?;
    let hello = Method {
        destination: "org.freedesktop.DBus",
        path: "/org/freedesktop/DBus",
        interface: "org.freedesktop.DBus",
        name: "Hello",
    };
    bus.call(hello, Given::Nothing).await?;
    Ok(bus)
}

/// Whether systemd runs here at all.
pub fn is_here() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

/// A manager answers in the order it was asked, and an alias by the name of what it is of. Names that are none it
/// leaves out; then only those are known that have one name.
fn as_asked(mut units: Vec<Unit>, names: &[&str]) -> Vec<Unit> {
    if units.len() == names.len() {
        units.iter_mut().zip(names).for_each(|(unit, name)| unit.asked = (*name).to_owned());
    }
    units
}

/// A list of `(ssssssouso)`.
fn parse(body: &[u8]) -> Option<Vec<Unit>> {
    let mut reader = Reader::new(body);
    let end = reader.list()?;
    let mut units = Vec::new();
    while reader.place() < end && units.len() < MOST {
        reader.align(8)?;
        let name = reader.string()?;
        let _description = reader.string()?;
        let (load, active, sub) = (reader.string()?, reader.string()?, reader.string()?);
        let (_follows, _path) = (reader.string()?, reader.string()?);
        let _job = (reader.number()?, reader.string()?, reader.string()?);
        units.push(Unit { asked: name.clone(), name, load, active, sub });
    }
    Some(units)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a manager writes it.
    fn body(units: &[[&str; 5]]) -> Vec<u8> {
        let mut list: Vec<u8> = Vec::new();
        let string = |out: &mut Vec<u8>, text: &str| {
            out.resize(out.len().next_multiple_of(4), 0);
            out.extend((text.len() as u32).to_le_bytes());
            out.extend(text.as_bytes());
            out.push(0);
        };
        for unit in units {
            list.resize(list.len().next_multiple_of(8), 0);
            unit.iter().for_each(|text| string(&mut list, text));
            string(&mut list, "");
            string(&mut list, "/org/freedesktop/systemd1/unit/x");
            list.resize(list.len().next_multiple_of(4), 0);
            list.extend(0u32.to_le_bytes());
            string(&mut list, "");
            string(&mut list, "/");
        }
        let mut body = (list.len() as u32).to_le_bytes().to_vec();
        body.extend([0; 4]);
        body.extend(list);
        body
    }

    #[test]
    fn units_are_read_as_a_manager_lists_them() {
        let body = body(&[
            ["sshd.service", "OpenSSH", "loaded", "active", "running"],
            ["gone.service", "gone.service", "not-found", "inactive", "dead"],
        ]);
        let units = parse(&body).unwrap();
        assert_eq!(units.len(), 2);
        assert_eq!((units[0].name.as_str(), units[0].active.as_str()), ("sshd.service", "active"));
        assert_eq!((units[1].load.as_str(), units[1].sub.as_str()), ("not-found", "dead"));
        let asked = as_asked(units, &["ssh.service", "gone.service"]);
        assert_eq!((asked[0].asked.as_str(), asked[0].name.as_str()), ("ssh.service", "sshd.service"));
        assert_eq!(as_asked(asked, &["x"])[0].asked, "ssh.service");
        for cut in 0..body.len() {
            let _ = parse(&body[..cut]);
        }
    }
}
