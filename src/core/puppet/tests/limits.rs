//! What a run may use. Each of these would end the process or never end without its bound.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::stage::Stage;
use crate::error::Fault;
use crate::host::{Host, Kind, Level, Trouble};
use crate::source::Source;
use crate::{Evaluator, Limits};

fn small() -> Limits {
    Limits { steps: 2_000_000, memory: 8 << 20, output: 1 << 16, ..Limits::default() }
}

/// Runs it on a stack of the size that threads have, and gives the error.
fn refused(code: &str) -> String {
    let code = code.to_owned();
    let run = move || {
        let began = Instant::now();
        let e = Stage::default().run_within(&code, small()).expect_err("a limit");
        assert!(matches!(e.fault, Fault::Limit(_)), "{code}: {e}");
        assert!(began.elapsed() < Duration::from_secs(20), "{code}: {:?}", began.elapsed());
        e.to_string()
    };
    std::thread::Builder::new().stack_size(2 << 20).spawn(run).expect("a thread").join().expect("no panic")
}

#[test]
fn steps_end() {
    for code in [
        "Integer[0, 9223372036854775806].each |$x| { }",
        "9223372036854775807.each |$x| { $x }",
        "Integer[0, 9223372036854775806].reverse_each |$x| { }",
        "range(0, 9223372036854775807)",
        "range('a', 'zzzzzzzzzzzzz')",
        "Array(9223372036854775807)",
        "Integer[0, 9223372036854775806].all |$x| { true }",
        "$x = 'a'\n1000000.each |$n| { $x.upcase.downcase.upcase }",
    ] {
        let e = refused(code);
        assert!(e.contains("steps") || e.contains("MiB"), "{code}: {e}");
    }
}

#[test]
fn memory_ends() {
    for code in [
        "1000000.reduce('x') |$m, $n| { \"${m}${m}\" }",
        "1000000.reduce([1]) |$m, $n| { $m + $m }",
        "1000000.map |$n| { \"number ${n} of very many, each of them a text of its own\" }",
        "1000000.reduce({}) |$m, $n| { $m + { $n => \"${n}\" } }",
        "1000000.reduce([]) |$m, $n| { [$m, $m] }",
        "$s = 100.map |$n| { 'xxxxxxxxxx' }.join\n100000.map |$n| { $s }.join",
        "$s = 1000.map |$n| { 'xxxxxxxxxx' }.join\nregsubst($s, '', $s, 'G')",
        "1000.reduce('a') |$m, $n| { sprintf('%s%s', $m, $m) }",
        "$l = 1000.map |$n| { 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx' }\n1000.reduce($l) |$m, $n| { [to_json($m), to_json($m)] }",
    ] {
        let e = refused(code);
        assert!(
            e.contains("MiB") || e.contains("parts") || e.contains("nested deeper") || e.contains("steps"),
            "{code}: {e}"
        );
    }
}

#[test]
fn depth_ends() {
    for code in [
        "function f($n) { f($n + 1) }\nf(0)",
        "function f($n) { [$n].map |$x| { f($x + 1) } }\nf(0)",
        "function f($n) { if true { case $n { default: { [[[f($n + 1)]]] } } } }\nf(0)",
        "1000.reduce([]) |$m, $n| { [$m] }",
        "1000.reduce({}) |$m, $n| { { a => $m } }",
        "1000.reduce(Integer) |$m, $n| { Array[$m] }",
        "1000.reduce('s') |$m, $n| { Sensitive($m)\n [Sensitive([$m])] }",
    ] {
        let e = refused(code);
        assert!(e.contains("nested") || e.contains("deeper"), "{code}: {e}");
    }
    let sum = format!("$x = 1\n{}$x", "$x + ".repeat(20_000));
    assert!(refused(&sum).contains("nested too deeply"));
}

#[test]
fn a_plan_may_go_as_deep_as_plans_do() {
    let code = "function f($n) { if $n == 0 { 0 } else { 1 + f($n - 1) } }\nf(12)";
    assert_eq!(Stage::default().run(code).expect("a value").to_string(), "12");
    // with the stack that playbooks have, as deep as calls may be
    let deep = code.replace("f(12)", "f(190)");
    let limits = Limits { stack: 12 << 20, ..Limits::default() };
    let run = move || Stage::default().run_within(&deep, limits).expect("a value").to_string();
    let thread = std::thread::Builder::new().stack_size(16 << 20).spawn(run).expect("a thread");
    assert_eq!(thread.join().expect("no panic"), "190");
    // what was built and dropped is given back
    let code = "1000.each |$n| { 100.map |$m| { \"${n} ${m} and so on and on and on\" } }\n'end'";
    let limits = Limits { memory: 1 << 20, ..Limits::default() };
    assert_eq!(Stage::default().run_within(code, limits).expect("a value").to_string(), "end");
}

#[test]
fn output_ends() {
    let e = refused("100000.each |$n| { notice('a message') }");
    assert!(e.contains("logs more than"), "{e}");
    let e = refused("$s = 1000.map |$n| { 'xxxxxxxxxx' }.join\n100.each |$n| { notice($s, $s) }");
    assert!(e.contains("logs more than"), "{e}");
}

#[test]
fn limits_are_not_caught() {
    let files = [(
        "plans/deep.pp",
        "plan demo::deep () { choria::run_playbook('demo::deep', _catch_errors => true) }",
    )];
    let e = Stage::with(&files)
        .run("choria::run_playbook('demo::deep', _catch_errors => true)")
        .expect_err("a limit");
    assert!(matches!(e.fault, Fault::Limit(_)), "{e}");
}

/// Says stop in the middle of a plan.
struct Impatient(Arc<AtomicBool>, u32);

impl Host for Impatient {
    fn log(&mut self, _: Level, _: &str) {
        self.1 += 1;
        self.0.store(true, Ordering::Relaxed);
    }

    fn source(&mut self, _: Kind, _: &str) -> Result<Option<Source>, Trouble> {
        Ok(None)
    }

    fn now(&mut self) -> i64 {
        0
    }
}

#[test]
fn a_run_is_interrupted_between_steps() {
    let stop = Arc::new(AtomicBool::new(false));
    let mut host = Impatient(stop.clone(), 0);
    let code = "100.each |$n| { notice($n) }\n'end'";
    let e = Evaluator::new(&mut host, Limits::default(), stop)
        .script(Source::new("t.pp", code))
        .expect_err("an end");
    assert_eq!(e.fault, Fault::Cancelled);
    assert_eq!(host.1, 1, "nothing more was said");
}

#[test]
fn a_regular_expression_goes_back_only_so_often() {
    let e = refused("$s = 60.map |$n| { 'a' }.join\n\"${s}!\" =~ /^(a|a)*\\1b$/");
    assert!(e.contains("takes too long"), "{e}");
}
