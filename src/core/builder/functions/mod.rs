//! Functions of templates of applications: those of the original, and of the library that it
//! brings along as far as definitions use it (spec 07 D). A new one is a word in the list of its
//! file, and an arm.

mod addresses;
mod dates;
mod documents;
mod lists;
mod maps;
mod numbers;
mod paths;
mod secrets;
mod texts;

use serde_json::Value;

use super::scope::Scope;
use super::words::quoted;
use crate::core::template::{plain, truth};

/// What a function gives, nothing for a name that is not of its file.
type Given = Option<Result<Value, String>>;

/// Longest text and list that one function makes.
const MOST: usize = 1 << 20;

const NAMES: [&str; 15] = [
    "AppDir",
    "BashHelperPath",
    "TaskDir",
    "UserWorkingDir",
    "default",
    "env",
    "escape",
    "expandenv",
    "fail",
    "hello",
    "randInt",
    "read_file",
    "require",
    "shuffle",
    "uuidv4",
];

/// Whether there is a function of that name.
pub(super) fn has(name: &str) -> bool {
    all().any(|names| names.contains(&name))
}

fn all() -> impl Iterator<Item = &'static [&'static str]> {
    let all: [&'static [&'static str]; 10] = [
        &NAMES,
        &addresses::NAMES,
        &dates::NAMES,
        &documents::NAMES,
        &lists::NAMES,
        &maps::NAMES,
        &numbers::NAMES,
        &paths::NAMES,
        &secrets::NAMES,
        &texts::NAMES,
    ];
    all.into_iter()
}

/// What a function gives.
pub(super) fn call(scope: &Scope<'_>, name: &str, arguments: &[Value]) -> Result<Value, String> {
    let of = Arguments { name, all: arguments };
    own(scope, &of)
        .or_else(|| texts::call(&of))
        .or_else(|| lists::call(&of))
        .or_else(|| maps::call(&of))
        .or_else(|| numbers::call(&of))
        .or_else(|| documents::call(&of))
        .or_else(|| paths::call(&of))
        .or_else(|| addresses::call(&of))
        .or_else(|| secrets::call(&of))
        .or_else(|| dates::call(&of, scope.world))
        .unwrap_or_else(|| Err(format!("there is no function {name}")))
}

fn own(scope: &Scope<'_>, of: &Arguments<'_>) -> Given {
    let state = scope.state;
    Some(match of.name {
        "AppDir" | "TaskDir" => Ok(state.app_dir.clone().into()),
        "UserWorkingDir" => Ok(state.user_dir.clone().into()),
        "BashHelperPath" => {
            match state.helper.is_empty() {
                true => Err("BashHelperPath is nothing here: only an exec without no_helper has such a file"
                    .to_owned()),
                false => Ok(state.helper.clone().into()),
            }
        }
        "env" => of.text(0).map(|name| scope.world.env(&name).unwrap_or_default().into()),
        "expandenv" => of.text(0).map(|text| expanded(&text, scope).into()),
        "escape" => of.text(0).map(|text| quoted(&text).into()),
        "read_file" => of.text(0).and_then(|file| scope.world.read(&file)).map(Value::from),
        "require" => required(of),
        "default" => defaulted(of),
        "fail" => of.text(0).and_then(Err),
        "hello" => Ok("Hello!".into()),
        "uuidv4" => Ok(uuid::Builder::from_random_bytes(bytes(scope)).into_uuid().to_string().into()),
        "randInt" => between(scope, of),
        "shuffle" => of.text(0).map(|text| shuffled(scope, &text).into()),
        _ => return None,
    })
}

/// A value there has to be, or a sentence about it.
fn required(of: &Arguments<'_>) -> Result<Value, String> {
    let value = of.any(0)?;
    match value {
        Value::Null => {}
        Value::String(text) if text.is_empty() => {}
        value => return Ok(value.clone()),
    }
    match of.all.get(1).map(plain).filter(|reason| !reason.is_empty()) {
        Some(reason) => Err(reason),
        None => Err("value required".to_owned()),
    }
}

fn defaulted(of: &Arguments<'_>) -> Result<Value, String> {
    let (value, default) = (of.any(0)?, of.any(1)?);
    Ok(if truth(value) { value.clone() } else { default.clone() })
}

/// With `$NAME` and `${NAME}` of the environment.
fn expanded(text: &str, scope: &Scope<'_>) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        let (name, after) = match after.strip_prefix('{').and_then(|after| after.split_once('}')) {
            Some(split) => split,
            None => {
                let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
                after.split_at(after.find(|c: char| !plain(c)).unwrap_or(after.len()))
            }
        };
        match name {
            "" => out.push('$'),
            name => out.push_str(&scope.world.env(name).unwrap_or_default()),
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

fn bytes(scope: &Scope<'_>) -> [u8; 16] {
    let [a, b] = [scope.world.random(), scope.world.random()];
    (u128::from(a) << 64 | u128::from(b)).to_be_bytes()
}

fn between(scope: &Scope<'_>, of: &Arguments<'_>) -> Result<Value, String> {
    let (least, most) = (of.whole(0)?, of.whole(1)?);
    let span = u64::try_from(i128::from(most) - i128::from(least)).ok().filter(|span| *span > 0);
    let span =
        span.ok_or_else(|| format!("randInt takes two numbers, the larger one last, not {least} {most}"))?;
    Ok(Value::from(least.wrapping_add_unsigned(scope.world.random() % span)))
}

fn shuffled(scope: &Scope<'_>, text: &str) -> String {
    let mut letters: Vec<char> = text.chars().collect();
    for at in (1..letters.len()).rev() {
        let other = usize::try_from(scope.world.random() % (at as u64 + 1)).unwrap_or(0);
        letters.swap(at, other);
    }
    letters.into_iter().collect()
}

/// What a function is given.
struct Arguments<'a> {
    name: &'a str,
    all: &'a [Value],
}

impl<'a> Arguments<'a> {
    fn any(&self, at: usize) -> Result<&'a Value, String> {
        self.all.get(at).ok_or_else(|| format!("{} takes more than {} values", self.name, self.all.len()))
    }

    fn last(&self) -> Result<&'a Value, String> {
        self.any(self.all.len().max(1) - 1)
    }

    /// Any value as text; nothing is the empty one.
    fn text(&self, at: usize) -> Result<String, String> {
        match self.any(at)? {
            Value::Null => Ok(String::new()),
            value => Ok(plain(value)),
        }
    }

    fn whole(&self, at: usize) -> Result<i64, String> {
        Ok(numbers::whole(self.any(at)?))
    }

    fn size(&self, at: usize) -> Result<usize, String> {
        Ok(usize::try_from(self.whole(at)?).unwrap_or(0))
    }

    fn number(&self, at: usize) -> Result<f64, String> {
        Ok(numbers::float(self.any(at)?))
    }

    fn list(&self, at: usize) -> Result<&'a Vec<Value>, String> {
        match self.any(at)? {
            Value::Array(items) => Ok(items),
            other => Err(format!("{} takes a list, not {}", self.name, plain(other))),
        }
    }

    fn map(&self, at: usize) -> Result<&'a serde_json::Map<String, Value>, String> {
        match self.any(at)? {
            Value::Object(members) => Ok(members),
            other => Err(format!("{} takes names and values, not {}", self.name, plain(other))),
        }
    }

    /// That something so long may be made.
    fn may_make(&self, size: usize) -> Result<(), String> {
        match size > MOST {
            true => Err(format!("{} would make more than {MOST} bytes or entries", self.name)),
            false => Ok(()),
        }
    }
}

/// All names.
#[cfg(test)]
pub(super) fn names() -> Vec<&'static str> {
    all().flatten().copied().collect()
}
