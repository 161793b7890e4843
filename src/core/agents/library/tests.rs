use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;

use super::*;

struct Shelf(TempDir);

impl Shelf {
    fn new() -> Shelf {
        Shelf(TempDir::new().unwrap())
    }

    fn put(&self, path: &str, text: &str) {
        let file = self.path(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join("mcollective/agent").join(path)
    }

    fn ddl(&self, path: &str, name: &str, version: &str) {
        let provider = if path.contains("ruby") { "" } else { r#""provider":"external","# };
        let ddl = format!(
            r#"{{"metadata":{{{provider}"name":"{name}","version":"{version}","timeout":5}},"actions":[]}}"#
        );
        self.put(path, &ddl);
    }
}

/// Names and versions that came, names that went, after as many looks as it takes.
fn changes(library: &mut Library) -> Vec<String> {
    let mut all = vec![];
    for _ in 0..2 {
        for change in library.look().changes {
            all.push(match change {
                Change::Come(found) => format!("+{} {}", found.ddl.metadata.name, found.ddl.metadata.version),
                Change::Gone(name) => format!("-{name}"),
            });
        }
    }
    all
}

#[test]
fn agents_come_change_and_go() {
    let shelf = Shelf::new();
    let mut library = Library::new([shelf.0.path()], true);
    assert!(changes(&mut library).is_empty());
    shelf.ddl("one.json", "one", "1.0.0");
    shelf.ddl("two/two.json", "two", "1.0.0");
    shelf.ddl("deep/er/three.json", "three", "1.0.0");
    shelf.ddl("tmp/tmp.json", "tmp", "1.0.0");
    shelf.ddl("deep/ruby.json", "ruby", "1.0.0");
    shelf.put("deep/ruby.rb", "");
    shelf.ddl("deep/ruby_without.json", "ruby_without", "1.0.0");
    let first = library.look();
    assert!(first.changes.is_empty() && first.unsettled, "a file that is just written may not be whole");
    assert_eq!(changes(&mut library), ["+one 1.0.0", "+ruby 1.0.0", "+two 1.0.0"]);
    assert!(!library.look().unsettled);
    // being written: what was there stays
    shelf.put("one.json", "{");
    assert!(changes(&mut library).is_empty());
    shelf.ddl("one.json", "one", "1.0.1");
    assert_eq!(changes(&mut library), ["+one 1.0.1"]);
    // its program comes, and another
    shelf.put("two/two", "a");
    assert_eq!(changes(&mut library), ["+two 1.0.0"]);
    shelf.put("two/two", "ab");
    assert_eq!(changes(&mut library), ["+two 1.0.0"]);
    fs::remove_file(shelf.path("one.json")).unwrap();
    fs::remove_dir_all(shelf.path("two")).unwrap();
    fs::remove_dir_all(shelf.path("deep")).unwrap();
    assert_eq!(changes(&mut library), ["-one", "-ruby", "-two"]);
    assert!(changes(&mut library).is_empty());
}

#[test]
fn the_first_directory_wins_and_the_next_takes_over() {
    let (first, second) = (Shelf::new(), Shelf::new());
    first.ddl("demo.json", "demo", "1.0.0");
    second.ddl("demo.json", "demo", "2.0.0");
    second.ddl("other.json", "demo", "3.0.0");
    let mut library = Library::new([first.0.path(), second.0.path()], false);
    assert_eq!(changes(&mut library), ["+demo 1.0.0"]);
    fs::remove_file(first.path("demo.json")).unwrap();
    assert_eq!(changes(&mut library), ["+demo 2.0.0"]);
}

#[test]
fn what_lies_is_no_agent() {
    let shelf = Shelf::new();
    for (path, name) in [
        ("rpcutil.json", "mine"),
        ("mine.json", "rpcutil"),
        ("up.json", "../up"),
        ("caps.json", "Caps"),
        ("dots.json", "a.b"),
        ("star.json", "*"),
        ("space.json", "a b"),
    ] {
        shelf.ddl(path, name, "1.0.0");
    }
    shelf.put("none.json", r#"{"metadata":{"provider":"external","name":"","timeout":5}}"#);
    shelf.put("quick.json", r#"{"metadata":{"provider":"external","name":"quick","timeout":0}}"#);
    shelf.put("odd.json", r#"{"metadata":{"provider":"external","name":"odd","timeout":"5"}}"#);
    shelf.put("garbage.json", "not json");
    shelf.put("huge.json", &"x".repeat(2_000_000));
    fs::create_dir(shelf.path("dir.json")).unwrap();
    std::os::unix::fs::symlink("/nonexistent", shelf.path("link.json")).unwrap();
    shelf.ddl("open.json", "open", "1.0.0");
    fs::set_permissions(shelf.path("open.json"), fs::Permissions::from_mode(0o666)).unwrap();
    let mut library = Library::new([shelf.0.path()], true);
    assert!(changes(&mut library).is_empty());
    // the one that is mended
    fs::set_permissions(shelf.path("open.json"), fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(changes(&mut library), ["+open 1.0.0"]);
}
