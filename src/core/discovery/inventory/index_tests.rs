use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::index::{Index, stamp};
use super::{Group, GroupFilter, Inventory, Node};
use crate::core::protocol::filter::Filter;

fn node(number: usize) -> Node {
    let facts = json!({
        "country": (["mt", "uk", "DE"][number % 3]),
        "cpus": number % 5,
        "hostname": format!("n{number}"),
        "os": {"name": "Debian", "release": {"major": 10 + number % 3, "seed": number}, "a.b": {"c": 1}},
        "disks": [{"name": "sda", "size": number % 7}],
        "odd": if number.is_multiple_of(2) { Value::Null } else { json!("a\"b\\c\n\u{e9}") },
        "padding": "x".repeat(3000),
    });
    let Value::Object(mut facts) = facts else { unreachable!() };
    if number.is_multiple_of(4) {
        facts.remove("cpus");
    }
    let classes =
        [vec![], vec!["apache"], vec!["apache", "Db"], vec!["db", "roles::web"]][number % 4].clone();
    let words = |words: Vec<&str>| words.into_iter().map(str::to_owned).collect();
    Node {
        name: format!("n{number}.example.net"),
        collectives: words(if number.is_multiple_of(10) { vec!["uk"] } else { vec!["mcollective", "uk"] }),
        facts: if number == 7 { Map::new() } else { facts },
        classes: words(classes),
        agents: words(if number.is_multiple_of(6) { vec![] } else { vec!["rpcutil", "package"] }),
    }
}

fn inventory() -> Inventory {
    let groups = [("web", "apache"), ("db", "/db/")];
    let group = |(name, class): (&str, &str)| Group {
        name: name.to_owned(),
        filter: GroupFilter { classes: vec![class.to_owned()], ..GroupFilter::default() },
    };
    Inventory {
        nodes: (0..500).map(node).collect(),
        groups: groups.map(group).into(),
        ..Inventory::default()
    }
}

/// An inventory file that was written a while ago, and a cache.
fn written(dir: &Path, inventory: &Inventory) -> std::path::PathBuf {
    let file = dir.join("fleet.json");
    fs::write(&file, inventory.text(&file).unwrap()).unwrap();
    file
}

fn filter(build: impl Fn(&mut Filter)) -> Filter {
    let mut filter = Filter::default();
    build(&mut filter);
    filter
}

fn filters() -> Vec<Filter> {
    let fact = |text: &'static str| filter(move |f| f.add_fact(text).unwrap());
    let expression = |text: &'static str| filter(move |f| f.set_expression(text).unwrap());
    let mut all: Vec<Filter> = [
        "country=mt",
        "country!=mt",
        "country=~/^U/",
        "cpus>2",
        "cpus<=1",
        "os.release.major=12",
        "os.release.major.more=12",
        "os.release.m*=12",
        "os.release.nosuch=12",
        "os.a.b.c=1",
        "os.a\\.b.c=1",
        "os.name.=Debian",
        "nosuch=1",
        "odd=~b",
        "disks.0.size>3",
        "disks.#(size>3).name=sda",
        "*ountry=mt",
        "hostname=~7$",
        "country>1",
        "os=1",
    ]
    .map(fact)
    .into();
    all.extend(
        [
            "fact('country') == 'mt' and 'apache' in classes",
            "with('apache') && with('cpus>1') || with('rpcutil')",
            "fact('os.release.major') > 11 and not ('package' in agents)",
            "fact('nosuch') == nil",
            "fact('os.release.major') > 11 and fact('os.name') == 'Debian' and with('os.release.seed>20')",
            "with('os.release.major=11') and fact('os.release.major') == 11",
            "fact('os.release.seed') % 7 == 3 and len(classes) > 0",
            "fact('cpus') % 2 == 0",
            "fact('*ountry') == 'mt'",
            "len(classes) == 2",
        ]
        .map(expression),
    );
    all.push(Filter::default());
    all.extend(["apache", "/^DB$/", "Db", "/(/"].map(|class| filter(|f| f.add_class(class).unwrap())));
    all.extend(["rpcutil", "/pack/"].map(|agent| filter(|f| f.add_agent(agent).unwrap())));
    all.extend(["/^n1/", "n3.example.net"].map(|name| filter(|f| f.add_identity(name).unwrap())));
    all.push(filter(|f| {
        f.add_identity("/7/").unwrap();
        f.add_class("apache").unwrap();
        f.add_agent("package").unwrap();
        f.add_fact("country=uk").unwrap();
        f.set_expression("fact('cpus') >= 0").unwrap();
    }));
    all.push(filter(|f| ["group:web", "group:db"].iter().for_each(|group| f.add_identity(group).unwrap())));
    all
}

#[test]
fn an_index_finds_what_the_inventory_does() {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("cache");
    let inventory = inventory();
    let file = written(dir.path(), &inventory);
    assert!(fs::metadata(&file).unwrap().len() > 1024 * 1024);
    let ask = |filter: &Filter, collective: &str| {
        Inventory::select_in(&file, Some(&cache), collective, filter).map_err(|e| e.to_string())
    };
    ask(&Filter::default(), "uk").unwrap();
    assert!(Index::open(&file, &cache).is_none(), "it was changed just now");
    let begun = Instant::now();
    while Index::open(&file, &cache).is_none() {
        assert!(begun.elapsed() < Duration::from_secs(60), "it has an index two seconds later");
        ask(&Filter::default(), "uk").unwrap();
    }
    let mut by_index = 0;
    for filter in filters() {
        for collective in ["mcollective", "uk", "none"] {
            let expected = inventory.select(collective, &filter).map_err(|e| e.to_string());
            assert_eq!(ask(&filter, collective), expected, "{filter:?}");
            by_index +=
                usize::from(Index::open(&file, &cache).unwrap().matching(collective, &filter).is_some());
        }
    }
    assert!(by_index >= 3 * (filters().len() - 3), "{by_index}");
    let nobody = filter(|f| f.add_identity("group:nosuch").unwrap());
    assert!(ask(&nobody, "uk").unwrap_err().contains("nosuch"));

    // Another state of the file is another inventory.
    let shorter = Inventory { nodes: (0..400).map(node).collect(), ..Inventory::default() };
    written(dir.path(), &shorter);
    assert!(Index::open(&file, &cache).is_none());
    assert_eq!(ask(&Filter::default(), "uk").unwrap().len(), 400);
}

#[test]
fn a_small_inventory_has_none_and_old_ones_go() {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("cache");
    let small = Inventory { nodes: vec![node(1)], ..Inventory::default() };
    let file = written(dir.path(), &small);
    Index::write(&small, stamp(&file).unwrap(), &file, &cache);
    assert!(!cache.exists());
}

proptest! {
    /// Whatever became of an index, it is an answer or none.
    #[test]
    fn a_broken_index_is_none(at in 0_usize..4000, with in any::<u8>(), cut in any::<bool>()) {
        let dir = tempfile::tempdir().unwrap();
        let cache = dir.path().join("cache");
        let inventory = Inventory { nodes: (0..20).map(node).collect(), ..inventory() };
        let file = written(dir.path(), &inventory);
        let place = super::index::tests_write(&inventory, &file, &cache);
        let mut bytes = fs::read(&place).unwrap();
        let at = at.min(bytes.len() - 1);
        if cut { bytes.truncate(at) } else { bytes[at] = with }
        fs::write(&place, &bytes).unwrap();
        let filter = filter(|f| {
            f.add_fact("country=mt").unwrap();
            f.add_class("apache").unwrap();
        });
        if let Some(index) = Index::open(&file, &cache) {
            let _ = index.matching("uk", &filter);
        }
    }
}
