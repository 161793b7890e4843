//! What large files cost: an inventory of 50,000 nodes and 180 MB, an audit log of ten million
//! records and its chain. Both are made here, in a directory that goes with it.
//!
//! `cargo bench --bench files`; `files inventory NODES` and `files audit RECORDS` are one of both,
//! with another number.

use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use choria::core::audit::chain::{ChainLog, examine};
use choria::core::discovery::Inventory;
use choria::core::protocol::filter::Filter;
use serde_json::json;

#[allow(dead_code)]
mod common;

use common::{milliseconds, rounds, show};

const NODES: usize = 50_000;
const RECORDS: u64 = 10_000_000;

fn main() {
    let Some(words) = common::words() else { return };
    let number = words.get(1).map(|word| word.parse::<u64>().expect("a number"));
    let dir = tempfile::tempdir().expect("a directory");
    common::head();
    let which = words.first().map(String::as_str);
    if which.is_none_or(|which| which == "inventory") {
        let nodes = number.and_then(|number| usize::try_from(number).ok());
        inventory(dir.path(), nodes.unwrap_or(NODES));
    }
    if which.is_none_or(|which| which == "audit") {
        audit(dir.path(), number.unwrap_or(RECORDS));
    }
}

// === an inventory ===

/// What makes a filter.
type Build = Box<dyn Fn(&mut Filter)>;

fn write_inventory(file: &Path, nodes: usize) {
    let mut out = BufWriter::new(File::create(file).expect("a file"));
    let schema = "https://choria.io/schemas/choria/discovery/v1/inventory_file.json";
    write!(out, "{{\"$schema\":\"{schema}\",\"nodes\":[").expect("written");
    for number in 0..nodes {
        let classes: Vec<String> =
            (0..40).map(|class| format!("profile::part{}", (number + class) % 300)).collect();
        let mounts: serde_json::Map<_, _> = (0..10)
            .map(|disk| {
                (
                    format!("/srv/disk{disk}"),
                    json!({"size": 1000 + number % 97, "options": ["rw", "relatime"]}),
                )
            })
            .collect();
        let interfaces: serde_json::Map<_, _> = (0..4)
            .map(|place| {
                let address = format!("10.{}.{}.{place}", number / 250 % 250, number % 250);
                (
                    format!("eth{place}"),
                    json!({"ip": address, "mac": format!("02:00:00:{number:06x}"), "mtu": 1500}),
                )
            })
            .collect();
        let node = json!({
            "name": format!("n{number}.example.net"),
            "collectives": ["mcollective"],
            "classes": classes,
            "agents": ["rpcutil", "choria_util", "package", "service", "puppet", "scout"],
            "facts": {
                "country": (["mt", "uk", "de", "us"][number % 4]),
                "role": format!("role{}", number % 40),
                "hostname": format!("n{number}"),
                "uptime_seconds": number * 37,
                "os": {"name": "Debian", "release": {"major": (10 + number % 3).to_string(), "minor": "4"}},
                "mountpoints": mounts,
                "networking": {"fqdn": format!("n{number}.example.net"), "interfaces": interfaces},
                "text": "x".repeat(1700),
            },
        });
        let sep = if number == 0 { "" } else { ",\n" };
        write!(out, "{sep}{node}").expect("written");
    }
    out.write_all(b"]}\n").and_then(|()| out.flush()).expect("written");
}

fn inventory(dir: &Path, nodes: usize) {
    let (file, cache) = (dir.join("fleet.json"), dir.join("cache"));
    write_inventory(&file, nodes);
    let size = file.metadata().map_or(0, |about| about.len()) / 1_000_000;
    let ask = |filter: &Filter| {
        let begun = Instant::now();
        let found = Inventory::select_in(&file, Some(&cache), "mcollective", filter).expect("an answer");
        (milliseconds(begun.elapsed()), found.len())
    };
    // as one that was written yesterday
    std::thread::sleep(std::time::Duration::from_millis(3100));
    let (first, _) = ask(&Filter::default());
    show(&format!("inventory of {nodes} nodes, {size} MB, read first"), "ms", vec![first], "", "");
    let fact = |text: &'static str| move |filter: &mut Filter| filter.add_fact(text).expect("a filter");
    let expression =
        |text: &'static str| move |filter: &mut Filter| filter.set_expression(text).expect("a filter");
    let filters: [(&str, Build); 10] = [
        ("none", Box::new(|_| ())),
        ("-F country=mt", Box::new(fact("country=mt"))),
        ("-F os.release.major>10", Box::new(fact("os.release.major>10"))),
        ("-F hostname=~77$", Box::new(fact("hostname=~77$"))),
        ("-F uptime_seconds>1000", Box::new(fact("uptime_seconds>1000"))),
        ("-F networking.interfaces.eth0.mtu=1500", Box::new(fact("networking.interfaces.eth0.mtu=1500"))),
        ("-C /part7$/", Box::new(|filter| filter.add_class("/part7$/").expect("a filter"))),
        ("-I /^n4/", Box::new(|filter| filter.add_identity("/^n4/").expect("a filter"))),
        ("-S role and country", Box::new(expression("fact('role') == 'role7' and fact('country') != 'mt'"))),
        ("-S of every host", Box::new(expression("fact('hostname') matches '9$'"))),
    ];
    for (name, build) in filters {
        let mut filter = Filter::default();
        build(&mut filter);
        let found = ask(&filter).1;
        let took = rounds(|| ask(&filter).0);
        show(&format!("  {name} ({found} nodes)"), "ms", took, "", "at most 100");
    }
    let index = std::fs::read_dir(&cache).expect("a cache").flatten().next().expect("an index");
    println!("{:52} {:9.2}", "  its index, MB", index.metadata().map_or(0, |about| about.len()) as f64 / 1e6);
}

// === an audit log ===

fn audit(dir: &Path, records: u64) {
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a key");
    let params = rcgen::CertificateParams::new(["n1.example.net".to_owned()]).expect("a name");
    let certificate = params.self_signed(&pair).expect("a certificate").der().clone();
    let der = rustls_pki_types::PrivateKeyDer::Pkcs8(pair.serialize_der().into());
    let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&der).expect("a key that signs");
    let (log, chain) = (dir.join("audit.log"), dir.join("audit.chain"));
    let begun = Instant::now();
    let mut out = BufWriter::new(File::create(&log).expect("a file"));
    // who makes it need not wait for the disk
    let mut written = ChainLog::new(&chain, dir.join("none"), Box::new(move || Arc::clone(&key)));
    for number in 0..records {
        let line = format!(
            "{{\"timestamp\":\"2026-01-01T00:00:00.000000+0000\",\"request_id\":\"{number:032x}\",\"request_time\":1767225600,\
             \"caller\":\"choria=alice.mcollective\",\"sender\":\"console.example.net\",\"agent\":\"rpcutil\",\
             \"action\":\"ping\",\"data\":{{}}}}\n"
        );
        out.write_all(line.as_bytes()).expect("written");
        written.add(line.as_bytes(), 1_767_225_600).expect("written");
    }
    out.flush().expect("written");
    drop(written);
    show(&format!("audit log of {records} records, made"), "s", vec![begun.elapsed().as_secs_f64()], "", "");
    let open = |file: &Path| BufReader::with_capacity(256 * 1024, File::open(file).expect("a file"));
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let begun = Instant::now();
    let found =
        examine(open(&chain), open(&log), std::slice::from_ref(&certificate), &provider).expect("a chain");
    show("  verified", "s", vec![begun.elapsed().as_secs_f64()], "", "at most 60");
    assert!(found.is_good() && found.records == records, "{found:?}");
}
