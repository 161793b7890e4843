use super::*;

fn budget() -> Budget {
    Budget::new(1 << 20)
}

#[test]
fn floats_are_written_as_ruby_does() {
    for (number, text) in [
        (1.0, "1.0"),
        (1000.0, "1000.0"),
        (1e16, "1.0e+16"),
        (1.5e-7, "1.5e-07"),
        (0.0001, "0.0001"),
        (0.1 + 0.2, "0.30000000000000004"),
        (-2.5, "-2.5"),
    ] {
        assert_eq!(float(number), text);
    }
}

#[test]
fn a_value_is_bounded_in_depth_and_parts() {
    let budget = budget();
    let mut value = Value::Undef;
    let mut depth = 0;
    let error = loop {
        match Value::array(vec![value], &budget) {
            Ok(deeper) => value = deeper,
            Err(e) => break e,
        }
        depth += 1;
    };
    assert_eq!((error, depth), (Exhausted::Depth, DEPTH));

    let (mut value, mut doubled) = (Value::Undef, 0);
    let error = loop {
        match Value::array(vec![value.clone(), value], &budget) {
            Ok(more) => value = more,
            Err(e) => break e,
        }
        doubled += 1;
    };
    assert_eq!((error, doubled), (Exhausted::Parts, 22));
    assert_eq!(budget.used(), 0, "all of it went");
}

#[test]
fn ruby_regular_expressions() {
    let matches =
        |pattern: &str, text: &str| Regexp::new(pattern).expect(pattern).is_match(text).expect("work");
    assert!(matches("^b$", "a\nb\nc"), "lines");
    assert!(!matches("a.b", "a\nb") && matches("(?m:a.b)", "a\nb") && matches("(?m)a.b", "a\nb"));
    assert!(matches("\\Aa\\Z", "a\n") && matches("(?i)AB", "ab") && matches("a(?=b)", "ab"));
    assert!(matches("\\(?m", "(m"));
    assert!(Regexp::new("(").is_err() && Regexp::new(&"a".repeat(5000)).is_err());
    let slow = Regexp::new("^(a|a)*\\1$").expect("a regular expression");
    assert!(slow.is_match(&"a".repeat(60)).is_err() || !slow.is_match(&"b".repeat(60)).expect("work"));
}

#[test]
fn json_there_and_back() {
    let text = r#"{"b":[1,2.5,null,true,"x"],"a":{}}"#;
    let json: serde_json::Value = serde_json::from_str(text).expect("JSON");
    let value = Value::from_json(&json, &budget()).expect("room");
    assert_eq!(value.to_json().to_string(), text);
    assert_eq!(value.to_data().expect("data").to_string(), text);
    let secret = Value::sensitive(Value::word("s")).expect("a value");
    assert_eq!(secret.to_json(), "Sensitive [value redacted]");
    assert_eq!(secret.to_data().expect("data"), "s");
    assert!(Value::Default.to_data().is_err());
}

#[test]
fn text_is_quoted_so_that_it_reads_the_same() {
    assert_eq!(quoted("it's"), "'it\\'s'");
    assert_eq!(quoted("a\n$b\u{1}"), "\"a\\n\\$b\\u{1}\"");
}
