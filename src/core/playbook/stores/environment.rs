//! Variables of the environment. What is written lasts for the run and is seen by it alone.

use serde_json::Value as Json;

use super::{Options, Store, Trouble, World};

struct Environment {
    prefix: String,
}

pub(super) fn open(options: &Options<'_>) -> Result<Box<dyn Store>, Trouble> {
    Ok(Box::new(Environment { prefix: options.text("prefix")?.unwrap_or_default().to_owned() }))
}

impl Environment {
    fn name(&self, key: &str) -> Result<String, Trouble> {
        let name = format!("{}{key}", self.prefix);
        match name.is_empty() || name.contains(['=', '\0']) {
            true => Err(Trouble(format!("'{name}' is not the name of an environment variable"))),
            false => Ok(name),
        }
    }
}

impl Store for Environment {
    fn read(&self, world: &mut World, key: &str) -> Result<Json, Trouble> {
        let name = self.name(key)?;
        let value = world.environment.get(&name).cloned().or_else(|| std::env::var(&name).ok());
        value.map(Json::String).ok_or_else(|| Trouble(format!("No such environment variable {name}")))
    }

    fn write(&self, world: &mut World, key: &str, value: &str) -> Result<(), Trouble> {
        world.environment.insert(self.name(key)?, value.to_owned());
        Ok(())
    }

    fn is_of_the_run(&self) -> bool {
        true
    }
}
