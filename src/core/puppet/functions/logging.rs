//! Messages of a plan.

use std::fmt::Write as _;

use super::{Builtin, Call, MANY, plain};
use crate::evaluator::{Evaluator, Outcome};
use crate::host::Level;
use crate::value::{Text, Value, write_shown};

pub(super) const FUNCTIONS: &[Builtin] = &[
    plain("debug", 0, MANY, |ev, call| say(ev, Level::Debug, &call)),
    plain("info", 0, MANY, |ev, call| say(ev, Level::Info, &call)),
    plain("notice", 0, MANY, |ev, call| say(ev, Level::Notice, &call)),
    plain("warning", 0, MANY, |ev, call| say(ev, Level::Warning, &call)),
    plain("err", 0, MANY, |ev, call| say(ev, Level::Err, &call)),
    plain("alert", 0, MANY, |ev, call| say(ev, Level::Alert, &call)),
    plain("crit", 0, MANY, |ev, call| say(ev, Level::Crit, &call)),
    plain("emerg", 0, MANY, |ev, call| say(ev, Level::Emerg, &call)),
];

fn say(ev: &mut Evaluator<'_>, level: Level, call: &Call<'_>) -> Outcome {
    let mut writer = ev.budget.writer();
    for (n, value) in call.arguments.iter().enumerate() {
        ev.work(value.work())?;
        let blank = if n > 0 { " " } else { "" };
        if writer.write_str(blank).and_then(|()| write_shown(&mut writer, value)).is_err() {
            break;
        }
    }
    ev.log(level, &Text::written(writer)?)?;
    Ok(Value::Undef)
}
