//! Licences, and crates that must not come in by a back door.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// What may be linked into an Apache-2.0 program without further duties than
/// naming it.
const LICENCES: [&str; 18] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-1-Clause",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "MPL-2.0",
    "OpenSSL",
    "Unicode-3.0",
    "Unlicense",
    "bzip2-1.0.6",
    "Zlib",
];
/// One provider of cryptography, aws-lc; no C library of the system.
const BANNED: [&str; 6] = ["ring", "openssl", "openssl-sys", "native-tls", "schannel", "security-framework"];
/// Packages of this tree.
const OURS: [(&str, &str); 3] = [
    ("choria", "Cargo.toml"),
    ("choria-puppet", "src/core/puppet/Cargo.toml"),
    ("rustls-native-certs", "packaging/patches/rustls-native-certs/Cargo.toml"),
];
/// Functions and types that the linker script names besides modules.
const FUNCTIONS: [&str; 3] = ["cmd/run", "cmd/dispatch", "cmd/Choria"];
const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// What cargo says without the network: of this platform only, whose crates are there
/// because this test was built. Those of others are there where somebody once fetched them.
fn cargo(words: &[&str]) -> String {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.current_dir(env!("CARGO_MANIFEST_DIR")).args(words).args(["--locked", "--offline"]);
    let output = command.output().expect("cargo");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// All that is built here, from `cargo metadata`.
fn packages() -> Vec<Value> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("-vV").output().expect("rustc");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let host = text.lines().find_map(|line| line.strip_prefix("host: ")).expect("a platform");
    let text = cargo(&["metadata", "--format-version", "1", "--filter-platform", host]);
    let mut metadata: Value = serde_json::from_str(&text).expect("JSON");
    let Value::Array(packages) = metadata["packages"].take() else { panic!("no packages: {text}") };
    assert!(packages.len() > 50);
    packages
}

/// Whether an SPDX expression can be met by allowed licences.
fn acceptable(expression: &str, allowed: &dyn Fn(&str) -> bool) -> bool {
    fn split<'a>(text: &'a str, word: &str) -> Vec<&'a str> {
        let (mut parts, mut depth, mut start) = (vec![], 0i32, 0);
        for (at, c) in text.char_indices() {
            depth += i32::from(c == '(') - i32::from(c == ')');
            if depth == 0 && at >= start && text[at..].starts_with(word) {
                parts.push(&text[start..at]);
                start = at + word.len();
            }
        }
        parts.push(&text[start..]);
        parts
    }
    let text = expression.trim();
    for (word, any) in [(" OR ", true), ("/", true), (" AND ", false)] {
        let parts = split(text, word);
        if parts.len() > 1 {
            let mut good = parts.iter().map(|part| acceptable(part, allowed));
            return if any { good.any(|g| g) } else { good.all(|g| g) };
        }
    }
    match text.strip_prefix('(').and_then(|t| t.strip_suffix(')')) {
        Some(inner) => acceptable(inner, allowed),
        None => allowed(text),
    }
}

#[test]
fn every_dependency_has_a_licence_we_accept_and_comes_from_crates_io() {
    let allowed = |licence: &str| LICENCES.contains(&licence);
    let mut problems = vec![];
    for package in packages() {
        let name = format!("{} {}", package["name"], package["version"]);
        if !acceptable(package["license"].as_str().unwrap_or("none"), &allowed) {
            problems.push(format!("{name}: licence {}", package["license"]));
        }
        // ours, and what stands in for others: in this tree, without a source
        let ours = package["source"].is_null()
            && OURS.iter().any(|(name, manifest)| {
                let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(manifest);
                package["name"] == *name && package["manifest_path"].as_str() == path.to_str()
            });
        if package["source"] != CRATES_IO && !ours {
            problems.push(format!("{name}: source {}", package["source"]));
        }
    }
    assert!(problems.is_empty(), "{problems:#?}");
}

/// The lock file names the crates of every platform, without their licences; those
/// `make audit` reads.
#[test]
fn what_other_platforms_would_build_comes_from_crates_io_too() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.lock");
    let lock: toml::Table = std::fs::read_to_string(path).expect("a file").parse().expect("TOML");
    let packages = lock["package"].as_array().expect("packages");
    assert!(packages.len() >= self::packages().len());
    for package in packages {
        let name = package["name"].as_str().expect("a name");
        let source = package.get("source").and_then(toml::Value::as_str);
        assert!(
            source.map_or(OURS.iter().any(|(ours, _)| *ours == name), |s| s == CRATES_IO),
            "{name}: {source:?}"
        );
    }
}

#[test]
fn licence_expressions_are_understood() {
    let allowed = |licence: &str| licence == "MIT" || licence == "ISC";
    for (text, good) in [
        ("MIT", true),
        ("GPL-3.0-only", false),
        ("GPL-3.0-only OR MIT", true),
        ("MIT/GPL-3.0-only", true),
        ("ISC AND GPL-3.0-only", false),
        ("ISC AND (GPL-3.0-only OR MIT)", true),
        ("(ISC AND GPL-3.0-only) OR (MIT AND ISC)", true),
        ("MIT WITH nothing", false),
    ] {
        assert_eq!(acceptable(text, &allowed), good, "{text}");
    }
}

/// `cargo tree` follows the features in use; metadata lists optional parts too.
#[test]
fn one_cryptography_and_no_library_of_the_system() {
    for features in [&[][..], &["--all-features"]] {
        let words = ["tree", "--edges", "normal,build,dev", "--prefix", "none", "--format", "{p}"];
        let tree = cargo(&[&words[..], features].concat());
        let names: BTreeSet<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
        assert!(names.contains("aws-lc-rs") && names.contains("rustls"), "{names:?}");
        let banned: Vec<_> = BANNED.into_iter().filter(|name| names.contains(name)).collect();
        assert!(banned.is_empty(), "{banned:?}");
    }
}

/// A linker says nothing of patterns that match no section any more.
#[test]
fn what_is_kept_apart_when_linking_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let packages = packages();
    let crates: BTreeMap<String, &Path> = packages
        .iter()
        .filter_map(|p| {
            let manifest = Path::new(p["manifest_path"].as_str()?);
            Some((p["name"].as_str()?.replace('-', "_"), manifest.parent()?))
        })
        .collect();
    let script = std::fs::read_to_string(root.join("packaging/link/cold.ld")).expect("a script");
    let mut patterns = 0;
    for pattern in script.split_whitespace().filter_map(|word| word.split(".text.*").nth(1)) {
        let pattern = pattern.trim_end_matches([')', '*']);
        if pattern.is_empty() {
            continue; // all sections of an object
        }
        patterns += 1;
        // `a..b..` in the names of types, `1a1b` in those of paths
        let mut names = vec![];
        let mut rest = pattern;
        while let Some(digits) = rest.find(|c: char| !c.is_ascii_digit()).filter(|digits| *digits > 0) {
            let (length, after) = rest.split_at(digits);
            let name = after.get(..length.parse().expect("a number"));
            names.push(name.unwrap_or_else(|| panic!("{pattern}: a name of another length")));
            rest = &after[names[names.len() - 1].len()..];
        }
        if names.is_empty() {
            names = pattern.split("..").filter(|name| !name.is_empty()).collect();
            rest = "";
        }
        assert!(rest.is_empty(), "{pattern}: {rest:?} is left");
        match names.as_slice() {
            ["choria", path @ ..] => {
                let path = path.join("/");
                let is_there = root.join("src").join(&path).is_dir()
                    || root.join("src").join(format!("{path}.rs")).is_file()
                    || FUNCTIONS.contains(&path.as_str());
                assert!(is_there, "{pattern}: there is no src/{path}");
            }
            // compiled with the compiler, no source is here
            [name, ..] if STANDARD.contains(name) => {}
            [name, path @ ..] => {
                let directory = crates.get(*name);
                let source = directory.unwrap_or_else(|| panic!("{pattern}: no dependency is called {name}"));
                if path.is_empty() {
                    continue; // all of it
                }
                let path = source.join("src").join(path.join("/"));
                assert!(path.exists() || path.with_extension("rs").is_file(), "{pattern}: {path:?}");
            }
            [] => panic!("{pattern}"),
        }
    }
    assert!(patterns > 50);

    // objects of C and assembly, by their files
    let mut files = String::new();
    list(crates["aws_lc_sys"], &mut files);
    let objects: Vec<&str> =
        script.lines().filter_map(|line| line.trim().strip_suffix(".o(.text .text.*)")).collect();
    assert!(objects.len() > 5, "{objects:?}");
    for object in objects {
        let name = object.trim_matches('*');
        assert!(files.contains(name), "no source file of aws-lc is called {name}");
    }
}

/// Names of the files below.
fn list(directory: &Path, files: &mut String) {
    for entry in std::fs::read_dir(directory).expect("a directory").flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            list(&entry.path(), files);
        } else {
            files.push_str(&entry.file_name().to_string_lossy());
            files.push('\n');
        }
    }
}

/// Crates that come with the compiler.
const STANDARD: [&str; 6] = ["addr2line", "backtrace_rs", "core", "gimli", "rustc_demangle", "std"];
