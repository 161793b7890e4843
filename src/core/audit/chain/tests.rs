use std::fs;
use std::io::Cursor;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls_pki_types::CertificateDer;

use super::*;

struct Node {
    certificate: CertificateDer<'static>,
    key: Arc<dyn rustls::sign::SigningKey>,
}

fn provider() -> CryptoProvider {
    rustls::crypto::aws_lc_rs::default_provider()
}

fn node(algorithm: &'static rcgen::SignatureAlgorithm) -> Node {
    let pair = rcgen::KeyPair::generate_for(algorithm).unwrap();
    let certificate = rcgen::CertificateParams::new(["n1".to_owned()]).unwrap().self_signed(&pair).unwrap();
    let der = rustls_pki_types::PrivateKeyDer::Pkcs8(pair.serialize_der().into());
    let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&der).unwrap();
    Node { certificate: certificate.der().clone(), key }
}

impl Node {
    fn log(&self, path: &Path) -> ChainLog {
        let key = self.key.clone();
        ChainLog::new(path, path.with_extension("log"), Box::new(move || key.clone()))
    }

    fn examined(&self, chain: &Path, lines: &[String]) -> Examination {
        let chain = fs::read(chain).unwrap();
        examine(
            Cursor::new(&chain[..]),
            lines.concat().as_bytes(),
            std::slice::from_ref(&self.certificate),
            &provider(),
        )
        .unwrap()
    }
}

fn line(number: usize) -> String {
    format!("{{\"request\":\"{number}\"}}\n")
}

/// A log of so many lines and its chain, in lives of so many records.
fn written(node: &Node, path: &Path, count: usize, life: usize) -> Vec<String> {
    let lines: Vec<String> = (1..=count).map(line).collect();
    for life in lines.chunks(life) {
        let mut log = node.log(path);
        life.iter().for_each(|line| log.add(line.as_bytes(), 1_767_950_400).unwrap());
    }
    lines
}

#[test]
fn an_edit_a_drop_an_addition_and_a_move_are_found() {
    let node = node(&rcgen::PKCS_ECDSA_P256_SHA256);
    let dir = tempfile::tempdir().unwrap();
    let chain = dir.path().join("chain");
    let lines = written(&node, &chain, 2500, 900);
    let good = node.examined(&chain, &lines);
    assert_eq!((good.wrong, good.lines, good.records, good.unsigned), (0, 2500, 2500, 0), "{good:?}");
    let found = |change: &dyn Fn(&mut Vec<String>)| {
        let mut changed = lines.clone();
        change(&mut changed);
        let found = node.examined(&chain, &changed);
        assert_eq!(found.wrong, found.findings.len() as u64);
        found.findings
    };
    assert_eq!(found(&|all| all[6] = line(0)), [Finding::Edited { line: 7, record: 7 }]);
    assert_eq!(found(&|all| all[0] = line(0)), [Finding::Edited { line: 1, record: 1 }]);
    assert_eq!(found(&|all| all[2499] = line(0)), [Finding::Edited { line: 2500, record: 2500 }]);
    assert_eq!(found(&|all| drop(all.remove(1700))), [Finding::Missing { record: 1701 }]);
    assert_eq!(found(&|all| drop(all.pop())), [Finding::Missing { record: 2500 }]);
    assert_eq!(found(&|all| all.insert(20, line(0))), [Finding::Added { line: 21 }]);
    assert_eq!(found(&|all| all.push(line(0))), [Finding::Added { line: 2501 }]);
    let moved = found(&|all| {
        let one = all.remove(100);
        all.insert(200, one);
    });
    assert_eq!(moved, [Finding::Moved { line: 201, record: 101 }]);
    let far = found(&|all| {
        let one = all.remove(100);
        all.push(one);
    });
    assert_eq!(far, [Finding::Moved { line: 2500, record: 101 }]);
    // Many at once, and what was rotated away.
    let found = node.examined(&chain, &lines[1200..]);
    assert_eq!((found.wrong, found.before), (0, 1200), "{:?}", found.findings);
    let mut few = lines.clone();
    few.drain(500..1800);
    assert_eq!(node.examined(&chain, &few).wrong, 1300);
    few.clear();
    assert_eq!(node.examined(&chain, &few).wrong, 2500, "everything is missing");
}

#[test]
fn the_chain_itself_is_signed() {
    let dir = tempfile::tempdir().unwrap();
    for algorithm in [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519] {
        let (one, other) = (node(algorithm), node(algorithm));
        let chain = dir.path().join("chain");
        let _ = fs::remove_file(&chain);
        let mut lines = written(&one, &chain, 10, 4);
        assert_eq!(one.examined(&chain, &lines).wrong, 0);
        assert_eq!(other.examined(&chain, &lines).wrong, 3, "each checkpoint is another's");
        // Whoever edits both has to sign.
        let text = fs::read_to_string(&chain).unwrap();
        lines[1] = line(0);
        let (was, is) = (digest_of(line(2).as_bytes()), digest_of(line(0).as_bytes()));
        fs::write(&chain, text.replace(&Line::Record(was).to_string(), &Line::Record(is).to_string()))
            .unwrap();
        let found = one.examined(&chain, &lines);
        assert!(matches!(found.findings[..], [Finding::Chain { line: 6, .. }]), "{found:?}");
        // A checkpoint that is left out takes nothing away, and what nobody signed is told.
        let cut: String =
            text.lines().filter(|line| !line.starts_with("s 10 ")).map(|line| format!("{line}\n")).collect();
        fs::write(&chain, cut).unwrap();
        assert_eq!(one.examined(&chain, &written_lines(10)).unsigned, 2);
    }
}

fn written_lines(count: usize) -> Vec<String> {
    (1..=count).map(line).collect()
}

#[test]
fn a_chain_goes_on_after_whatever_end() {
    let node = node(&rcgen::PKCS_ECDSA_P256_SHA256);
    let dir = tempfile::tempdir().unwrap();
    let chain = dir.path().join("chain");
    let mut log = node.log(&chain);
    for number in 1..=1500 {
        log.add(line(number).as_bytes(), 1).unwrap();
    }
    // killed: nothing was signed at the end, and a line was cut
    std::mem::forget(log);
    let mut text = fs::read(&chain).unwrap();
    text.extend_from_slice(b"r abc");
    fs::write(&chain, &text).unwrap();
    let mut log = node.log(&chain);
    log.add(line(1501).as_bytes(), 2).unwrap();
    log.sign(2).unwrap();
    drop(log);
    let found = node.examined(&chain, &written_lines(1501));
    assert_eq!((found.wrong, found.records, found.signed_until), (0, 1501, Some(2)), "{:?}", found.findings);
    // what is none is not written to
    for junk in ["", "choria audit chain 2\n", "r\n"] {
        let other = dir.path().join("other");
        fs::write(&other, junk).unwrap();
        assert_eq!(node.log(&other).prepare(1).is_ok(), junk.is_empty(), "{junk:?}");
    }
}

#[test]
fn what_is_older_than_the_chain_is_counted_and_hides_nothing() {
    let node = node(&rcgen::PKCS_ECDSA_P256_SHA256);
    let dir = tempfile::tempdir().unwrap();
    let chain = dir.path().join("chain");
    let lines = written(&node, &chain, 300, 300);
    for count in [0, 1, 99, 100, 101, 5000] {
        let older = (1..=count).map(|number| line(number + 100_000));
        let all: Vec<String> = older.chain(lines.iter().cloned()).collect();
        let found = node.examined(&chain, &all);
        assert!(found.is_good(), "{count}: {found:?}");
        assert_eq!(
            (found.older, found.before, found.lines),
            (count as u64, 0, count as u64 + 300),
            "{count}"
        );
        let mut edited = all.clone();
        edited[count + 20] = line(0);
        edited.remove(count + 100);
        let findings =
            [Finding::Edited { line: count as u64 + 21, record: 21 }, Finding::Missing { record: 101 }];
        assert_eq!(node.examined(&chain, &edited).findings, findings, "{count}");
        // Without its first records nobody knows where the chain begins.
        let cut: Vec<String> = all.iter().take(count).chain(&lines[150..]).cloned().collect();
        assert_eq!(node.examined(&chain, &cut).is_good(), count == 0, "{count}");
    }
    let others: Vec<String> = (1..=250).map(|number| line(number + 100_000)).collect();
    let found = node.examined(&chain, &others);
    assert_eq!((found.wrong, found.older, found.records), (250, 0, 300));
}

/// A chain that began yesterday, beside a log that is older: nobody says that all of it was forged.
#[test]
fn the_first_records_of_a_chain_are_told_apart_from_what_is_older() {
    let node = node(&rcgen::PKCS_ECDSA_P256_SHA256);
    for count in [1, 41, 99, 100, 150, 1_000] {
        for edited in [0, 1, 5] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("audit.chain");
            let lines = written(&node, &path, 20, 20);
            let older = (1..=count).map(|number| line(number + 100_000));
            let mut all: Vec<String> = older.chain(lines.iter().cloned()).collect();
            all[count + edited] = line(500_000);
            let found = node.examined(&path, &all);
            let told = Finding::Edited { line: (count + edited + 1) as u64, record: edited as u64 + 1 };
            assert_eq!(found.findings, [told], "{count} {edited}");
            assert_eq!((found.older, found.before), (count as u64, 0), "{count} {edited}");
        }
    }
}

#[test]
fn fuzz_a_chain_of_anybody() {
    let node = node(&rcgen::PKCS_ECDSA_P256_SHA256);
    bolero::check!().with_iterations(5_000).for_each(|bytes: &[u8]| {
        let chain = [HEAD.as_bytes(), b"\n", bytes].concat();
        let certificates = std::slice::from_ref(&node.certificate);
        let found = examine(Cursor::new(&chain[..]), &b"x\ny\n"[..], certificates, &provider()).unwrap();
        assert_eq!(found.lines, 2);
        let _ = Line::parse(bytes);
    });
}

/// Killed at any byte of the last record: what stands there is told, and is no edit of anybody.
#[test]
fn what_a_killed_node_leaves_is_told_from_what_others_add() {
    let node = node(&rcgen::PKCS_ECDSA_P256_SHA256);
    let dir = tempfile::tempdir().unwrap();
    let (chain, log) = (dir.path().join("chain"), dir.path().join("chain.log"));
    let written = written_lines(6);
    for (name, last) in [("whole", line(4)), ("torn", "{\"request\":".to_owned()), ("none", String::new())] {
        let _ = (fs::remove_file(&chain), fs::remove_file(&log));
        let mut first = node.log(&chain);
        first.prepare(1).unwrap();
        for one in &written[..3] {
            first.add(one.as_bytes(), 1).unwrap();
        }
        // it is killed before the chain has the fourth
        std::mem::forget(first);
        fs::write(&log, written[..3].concat() + &last).unwrap();
        let mut second = node.log(&chain);
        second.prepare(1).unwrap();
        let torn = if last.is_empty() { vec![] } else { vec![last.trim_end().to_owned() + "\n"] };
        let found = node.examined(&chain, &[&written[..3], &torn[..]].concat());
        assert_eq!((found.wrong, found.unsigned), (0, 0), "{name}: it says so at once: {found:?}");
        for one in &written[4..] {
            second.add(one.as_bytes(), 2).unwrap();
        }
        second.sign(2).unwrap();
        drop(second);
        let left = if last.is_empty() { vec![] } else { vec![last.trim_end().to_owned() + "\n"] };
        let lines = [&written[..3], &left, &written[4..]].concat();
        let found = node.examined(&chain, &lines);
        assert_eq!((found.wrong, found.left, found.records), (0, left.len() as u64, 5), "{name}: {found:?}");
        // Another line in its place, or one more, is somebody's.
        if let [_] = left.as_slice() {
            let mut other = lines.clone();
            other[3] = line(9);
            assert_eq!(node.examined(&chain, &other).findings, [Finding::Added { line: 4 }], "{name}");
            // nor is one that is known excused where it does not stand
            other.push(lines[3].clone());
            assert_eq!(node.examined(&chain, &other).wrong, 2, "{name}");
            let mut elsewhere = lines.clone();
            elsewhere.remove(3);
            assert_eq!(node.examined(&chain, &elsewhere).wrong, 0, "{name}");
            elsewhere.insert(1, lines[3].clone());
            assert_eq!(node.examined(&chain, &elsewhere).findings, [Finding::Added { line: 2 }], "{name}");
            // and so is the word of the chain about it
            let text = fs::read_to_string(&chain).unwrap();
            let forged = text.replace(
                &Line::Opening(Some(digest_of(lines[3].as_bytes()))).to_string(),
                &Line::Opening(Some(digest_of(line(9).as_bytes()))).to_string(),
            );
            assert_ne!(text, forged);
            fs::write(&chain, forged).unwrap();
            let mut other = lines.clone();
            other[3] = line(9);
            assert!(node.examined(&chain, &other).wrong > 0, "{name}");
        }
    }
}

/// What the chain says of a line that it does not have counts once a node has signed it.
#[test]
fn nobody_excuses_a_line_without_the_key() {
    let node = node(&rcgen::PKCS_ECDSA_P256_SHA256);
    let dir = tempfile::tempdir().unwrap();
    let chain = dir.path().join("chain");
    let lines = written_lines(3);
    let mut log = node.log(&chain);
    lines.iter().for_each(|line| log.add(line.as_bytes(), 1).unwrap());
    log.sign(2).unwrap();
    drop(log);
    let forged = line(9);
    let opening = Line::Opening(Some(digest_of(forged.as_bytes()))).to_string();
    let text = fs::read_to_string(&chain).unwrap();
    fs::write(&chain, format!("{text}{opening}\n")).unwrap();
    for at in 0..=3 {
        let mut all = lines.clone();
        all.insert(at, forged.clone());
        let found = node.examined(&chain, &all);
        // before its first record the chain says nothing, and that is said
        let expected = if at == 0 { (0, 0, 1) } else { (1, 0, 0) };
        assert_eq!((found.wrong, found.left, found.older), expected, "{at}: {found:?}");
    }
}

#[test]
fn a_log_that_is_another_has_left_nothing() {
    let node = node(&rcgen::PKCS_ECDSA_P256_SHA256);
    let dir = tempfile::tempdir().unwrap();
    let (chain, log) = (dir.path().join("chain"), dir.path().join("chain.log"));
    let lines = written_lines(5);
    let mut first = node.log(&chain);
    lines[..3].iter().for_each(|line| first.add(line.as_bytes(), 1).unwrap());
    drop(first);
    // rotated away, or more than one line that nobody wrote
    for (content, left) in [
        (String::new(), 0),
        (lines[..3].concat(), 0),
        (lines[..4].concat(), 1),
        (lines[..5].concat(), 0),
        (lines[3].clone(), 0),
    ] {
        let copy = dir.path().join("copy");
        fs::copy(&chain, &copy).unwrap();
        fs::write(copy.with_extension("log"), &content).unwrap();
        node.log(&copy).prepare(1).unwrap();
        let text = fs::read_to_string(&copy).unwrap();
        let openings = text.lines().filter(|line| line.starts_with("o ")).count();
        assert_eq!(openings, left, "{content:?}");
    }
    assert!(!log.exists());
}

#[test]
fn a_quiet_node_signs_when_its_time_has_come() {
    let node = node(&rcgen::PKCS_ECDSA_P256_SHA256);
    let dir = tempfile::tempdir().unwrap();
    let chain = dir.path().join("chain");
    let mut log = node.log(&chain);
    log.add(line(1).as_bytes(), 1).unwrap();
    log.rest(2).unwrap();
    assert_eq!(node.examined(&chain, &written_lines(1)).unsigned, 1, "it may come to write more");
    log.wait_no_longer();
    log.rest(3).unwrap();
    let found = node.examined(&chain, &written_lines(1));
    assert_eq!((found.unsigned, found.signed_until), (0, Some(3)));
    log.wait_no_longer();
    log.rest(4).unwrap();
    let found = node.examined(&chain, &written_lines(1));
    assert_eq!(found.signed_until, Some(3), "nothing is signed twice");
}
