use argh::ArgsInfo;

use super::*;
use crate::cmd::Choria;

fn split(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn rewritten(text: &str) -> Vec<String> {
    rewrite(&Choria::get_args_info(), &split(text)).unwrap_or_else(|e| panic!("{text}: {e}"))
}

#[test]
fn people_write_flags_in_many_ways() {
    for (typed, spaced) in [
        ("buildinfo --json", "buildinfo --json"),
        ("buildinfo -j --config=/etc/c.conf", "--config /etc/c.conf buildinfo -j"),
        ("--debug buildinfo", "--debug buildinfo"),
        ("buildinfo --json --no-json", "buildinfo"),
        ("--version", "--version"),
        ("buildinfo --help", "buildinfo --help"),
        ("buildinfo -h", "buildinfo --help"),
        ("help buildinfo", "buildinfo --help"),
        ("help", "--help"),
    ] {
        assert_eq!(rewritten(typed), split(spaced), "{typed}");
    }
}

#[test]
fn what_fits_nothing_is_named() {
    for (typed, text) in [
        ("frobnicate", "unknown command 'frobnicate', see 'choria --help'"),
        ("buildinfo --frob", "unknown flag '--frob' for 'choria buildinfo', see 'choria buildinfo --help'"),
        ("buildinfo -x", "unknown flag '-x' for 'choria buildinfo', see 'choria buildinfo --help'"),
        ("buildinfo --json=true", "flag '--json' is a switch and takes no value"),
    ] {
        let error = rewrite(&Choria::get_args_info(), &split(typed)).unwrap_err();
        assert_eq!(error.to_string(), text);
    }
}
