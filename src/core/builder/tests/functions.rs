//! Functions of the library that the original brings along, by what it makes of them.

use super::templates::made;

/// What the original's library made of a template; nothing where it fails, or writes why it does not
/// into the text.
#[rustfmt::skip]
const CASES: [(&str, Option<&str>); 34] = [
    (r#"{{ sha1sum "a" }}"#, Some("86f7e437faa5a7fce15d1ddcb9eaeaea377667b8")),
    (r#"{{ sha512sum "a" | trunc 16 }}"#, Some("1f40fc92da241694")),
    (r#"{{ b32enc "hello" | b32dec }}"#, Some("hello")),
    (r#"{{ b32dec "MFRGG===" }}"#, Some("abc")),
    (r#"{{ b32dec "ME======" }}{{ b32dec "" }}"#, Some("a")),
    (r#"{{ b32dec "mfrgg===" }}"#, None),
    (r#"{{ b32dec "M" }}"#, None),
    (r#"{{ durationRound "2h10m5s" }} {{ durationRound "2400h10m5s" }} {{ durationRound "1h" }} {{ durationRound "59s" }} {{ durationRound "x" }} {{ durationRound "1ms" }} {{ durationRound "-26h" }} {{ durationRound "9000h" }}"#, Some("2h 3mo 60m 59s 0s 0s 1d 1y")),
    (r#"{{ toDate "2006-01-02" "2017-12-31" | date "02/01/2006" }}"#, Some("31/12/2017")),
    (r#"{{ toDate "2006-01-02 15:04:05" "2017-12-31 10:11:12" | unixEpoch }}"#, Some("1514715072")),
    (r#"{{ mustToDate "2006-01-02" "x" }}"#, None),
    (r#"{{ htmlDateInZone (toDate "2006-01-02 15:04" "2017-12-31 23:30") "Europe/Berlin" }}"#, Some("2018-01-01")),
    (r#"{{ toDate "2006-01-02T15:04:05Z07:00" "2017-12-31T23:30:00+01:00" | unixEpoch }}"#, Some("1514759400")),
    (r#"{{ toDate "Jan 2, 2006" "Feb 3, 2021" | htmlDate }}"#, Some("2021-02-03")),
    (r#"{{ mustDateModify "-1h" (toDate "2006-01-02 15:04" "2017-12-31 00:30") | date "2006-01-02 15:04" }}"#, Some("2017-12-30 23:30")),
    (r#"{{ $u := urlParse "http://admin:secret@server.com:8080/api%20x?list=false#anchor" }}{{ range $k, $v := $u }}{{ $k }}={{ $v }};{{ end }}"#, Some("fragment=anchor;host=server.com:8080;hostname=server.com;opaque=;path=/api x;query=list=false;scheme=http;userinfo=admin:secret;")),
    (r#"{{ range $k, $v := urlParse "mailto:joe@example.com" }}{{ $k }}={{ $v }};{{ end }}"#, Some("fragment=;host=;hostname=;opaque=joe@example.com;path=;query=;scheme=mailto;userinfo=;")),
    (r#"{{ range $k, $v := urlParse "/a/b?c" }}{{ $k }}={{ $v }};{{ end }}"#, Some("fragment=;host=;hostname=;opaque=;path=/a/b;query=c;scheme=;userinfo=;")),
    (r#"{{ range $k, $v := urlParse "HTTPS://[::1]:80/x" }}{{ $k }}={{ $v }};{{ end }}"#, Some("fragment=;host=[::1]:80;hostname=::1;opaque=;path=/x;query=;scheme=https;userinfo=;")),
    (r#"{{ range $k, $v := urlParse "//host/x" }}{{ $k }}={{ $v }};{{ end }}"#, Some("fragment=;host=host;hostname=host;opaque=;path=/x;query=;scheme=;userinfo=;")),
    (r#"{{ range $k, $v := urlParse "" }}{{ $k }}={{ $v }};{{ end }}"#, Some("fragment=;host=;hostname=;opaque=;path=;query=;scheme=;userinfo=;")),
    (r#"{{ urlParse "http://a/%zz" }}"#, None),
    (r#"{{ urlParse ":x" }}"#, None),
    (r#"{{ range $k, $v := urlParse "file:///etc/x" }}{{ $k }}={{ $v }};{{ end }}"#, Some("fragment=;host=;hostname=;opaque=;path=/etc/x;query=;scheme=file;userinfo=;")),
    (r#"{{ urlJoin (dict "fragment" "fragment" "host" "host:80" "path" "/path" "query" "query" "scheme" "http") }}"#, Some("http://host:80/path?query#fragment")),
    (r#"{{ urlJoin (dict "host" "h" "path" "a b/ü?#" "scheme" "http" "userinfo" "u:p") }}"#, Some("http://u:p@h/a%20b/%C3%BC%3F%23")),
    (r#"{{ urlJoin (dict "opaque" "joe@x" "scheme" "mailto") }}"#, Some("mailto:joe@x")),
    (r#"{{ urlJoin (dict "path" "/x;y:z&a=b,c+d") }}"#, Some("/x;y:z&a=b,c+d")),
    (r#"{{ urlJoin (dict "scheme" "file" "path" "/x") }}"#, Some("file:///x")),
    ("{{ urlJoin (dict) }}", Some("")),
    (r#"{{ urlJoin (urlParse "http://admin:secret@server.com:8080/api%20x?list=false#anchor") }}"#, Some("http://admin:secret@server.com:8080/api%20x?list=false#anchor")),
    (r#"{{ htpasswd "a:b" "c" }}"#, None),
    (r#"{{ mustMergeOverwrite (dict "a" 1) (dict "a" 2) }}"#, Some("map[a:2]")),
    ("{{ randAlphaNum 5 | len }}{{ randNumeric 3 | len }}{{ randBytes 3 | len }}", Some("534")),
];

#[test]
fn functions_give_what_they_always_gave() {
    for (template, expected) in CASES {
        let made = made(template);
        assert_eq!(made.as_deref().ok(), expected, "{template}: {made:?}");
    }
}

/// Keys, certificates, names of the network and what changes a value in place are not here.
#[test]
fn what_is_not_here_is_refused_by_its_name() {
    for name in ["genCA", "genPrivateKey", "encryptAES", "derivePassword", "getHostByName", "set", "unset"] {
        let told = made(&format!("{{{{ {name} \"x\" }}}}")).unwrap_err();
        assert!(told.contains(&format!("there is no function {name}")), "{told}");
    }
}
