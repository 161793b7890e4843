//! Lists: subscriptions, connections that have ended, and what is no question.

use super::*;

fn rows<'a>(page: &'a Value, list: &str) -> Vec<&'a Value> {
    page[list].as_array().map(|rows| rows.iter().collect()).unwrap_or_default()
}

fn column(page: &Value, list: &str, name: &str) -> Vec<String> {
    rows(page, list).iter().map(|row| row[name].to_string().replace('"', "")).collect()
}

#[test]
fn subscriptions_are_listed_page_by_page() {
    let broker = Broker::start(plain_options()).unwrap();
    let monitoring = watched(&broker);
    let address = monitoring.local_addr();
    let mut all = Vec::new();
    for client in 0..5 {
        let mut raw = Raw::plain(broker.local_addr());
        raw.login("");
        for number in 0..10 {
            raw.send(format!("SUB own.{client}.{number} s{number}\r\n"));
        }
        raw.send("SUB shared.* pack all\r\nSUB other.> last\r\nUNSUB last 7\r\n");
        raw.sync();
        all.push(raw);
    }
    let mut publisher = Raw::plain(broker.local_addr());
    publisher.login("");
    publisher.send("PUB other.one 1\r\nx\r\nPUB other.one 1\r\nx\r\nPUB nobody 1\r\nx\r\n");
    publisher.sync();
    let total = 5 * 12;
    let mut seen = std::collections::BTreeSet::new();
    for offset in (0..70).step_by(7) {
        let page = json(address, &format!("/subsz?subs=1&limit=7&offset={offset}"));
        assert_eq!((&page["total"], &page["num_subscriptions"]), (&total.into(), &total.into()));
        let rows = rows(&page, "subscriptions_list");
        assert_eq!(rows.len(), 7.min(total as usize - offset.min(total as usize)), "{page}");
        for row in rows {
            assert!(seen.insert(format!("{} {} {}", row["cid"], row["sid"], row["subject"])), "{row} again");
        }
    }
    assert_eq!(seen.len(), total as usize);
    until("the messages to be counted", || {
        let page = json(address, "/subsz?subs=1&test=other.one");
        let rows = rows(&page, "subscriptions_list");
        rows.len() == 5 && rows.iter().all(|row| row["msgs"] == 2 && row["max"] == 7)
    });
    let page = json(address, "/subsz?subs=1&test=shared.x&acc=choria");
    assert_eq!(column(&page, "subscriptions_list", "qgroup"), ["pack"; 5]);
    assert_eq!(page["subscriptions_list"][0]["account"], "choria");
    assert_eq!(json(address, "/subsz?subs=1&acc=system")["total"], 0);
    assert_eq!(json(address, "/subsz?acc=nonexistent")["num_subscriptions"], 0);
    let page = json(address, "/subsz");
    assert_eq!(
        (&page["num_matches"], &page["num_inserts"], &page["num_removes"]),
        (&3.into(), &total.into(), &0.into())
    );
    assert!(page["max_fanout"] == 5 && page["cache_hit_rate"].as_f64().unwrap() > 0.3, "{page}");
    all.pop();
    until("subscriptions to go", || json(address, "/subsz")["num_removes"] == 12);
    let metrics = get(address, "/metrics").1;
    for line in [
        "choria_broker_fan_out_bucket{identity=\"broker1.example.net\",le=\"0\"} 1\n",
        "choria_broker_fan_out_bucket{identity=\"broker1.example.net\",le=\"10\"} 3\n",
        "choria_broker_fan_out_sum{identity=\"broker1.example.net\"} 10\n",
        "choria_broker_lookups_total{identity=\"broker1.example.net\"} 3\n",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
}

#[test]
fn connections_that_ended_are_remembered() {
    let broker = Broker::start(plain_options()).unwrap();
    let monitoring = watched(&broker);
    let address = monitoring.local_addr();
    let mut here = Raw::plain(broker.local_addr());
    here.login(",\"name\":\"here\"");
    here.send("SUB a 1\r\n");
    here.sync();
    let mut left = Raw::plain(broker.local_addr());
    left.login(&format!(",\"name\":\"{}\"", "l".repeat(500)));
    left.send("SUB a 1\r\nSUB b 2\r\nPUB a 3\r\nabc\r\n");
    left.sync();
    drop(left);
    until("the first end", || json(address, "/connz?state=closed")["total"] == 1);
    let mut rude = Raw::plain(broker.local_addr());
    rude.login(",\"name\":\"rude\"");
    rude.send("NONSENSE\r\n");
    rude.rest();
    let mut stranger = Raw::plain(broker.local_addr());
    stranger.send("PUB a 1\r\n");
    stranger.rest();
    until("all ends", || json(address, "/connz?state=closed")["total"] == 3);
    let closed = json(address, "/connz?state=closed");
    let reasons = ["Client Closed", "Protocol Violation", "Authentication Failure"];
    assert_eq!(column(&closed, "connections", "reason"), reasons, "{closed}");
    let first = &closed["connections"][0];
    assert_eq!(
        (&first["subscriptions"], &first["in_bytes"], &first["in_msgs"]),
        (&2.into(), &3.into(), &1.into())
    );
    assert_eq!(first["name"].as_str().unwrap().len(), 128);
    let time = |row: &Value, key: &str| row[key].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    assert!(time(first, "start") <= time(first, "last_activity"));
    assert!(time(first, "last_activity") <= time(first, "stop"), "{first}");
    assert!(time(first, "stop") <= jiff::Timestamp::now());
    let last_first = json(address, "/connz?state=closed&sort=stop&limit=1");
    assert_eq!(
        (&last_first["connections"][0]["reason"], &last_first["total"]),
        (&"Authentication Failure".into(), &3.into())
    );
    let by_reason = json(address, "/connz?state=closed&sort=reason");
    assert_eq!(by_reason["connections"][0]["reason"], "Authentication Failure");
    let everything = json(address, "/connz?state=all&sort=subs");
    assert_eq!(everything["total"], 4);
    assert_eq!(everything["connections"][0]["reason"], "Client Closed");
    let here = &everything["connections"][1];
    assert!(here["name"] == "here" && here.get("reason").is_none() && here.get("stop").is_none(), "{here}");
    let again = json(address, "/connz?subs=1");
    for moment in ["start", "last_activity"] {
        assert_eq!(again["connections"][0][moment], here[moment], "{moment} has moved");
    }
    let cid = here["cid"].as_u64().unwrap();
    assert_eq!(json(address, &format!("/connz?cid={cid}"))["total"], 1);
    assert_eq!(json(address, &format!("/connz?cid={cid}&state=closed"))["total"], 0);
    let metrics = get(address, "/metrics").1;
    for (reason, count) in
        [("Client Closed", 1), ("Protocol Violation", 1), ("Slow Consumer (Pending Bytes)", 0)]
    {
        let line = format!(
            "choria_broker_closed_total{{identity=\"broker1.example.net\",reason=\"{reason}\"}} {count}\n"
        );
        assert!(metrics.contains(&line), "{line}: {metrics}");
    }
}

#[test]
fn a_round_trip_is_measured_by_our_pings() {
    let options = plain_options();
    let limits = Limits {
        ping_interval: std::time::Duration::from_millis(200),
        ping_max: 1000,
        ..options.limits.clone()
    };
    let broker = Broker::start(Options { limits, ..options }).unwrap();
    let monitoring = watched(&broker);
    let address = monitoring.local_addr();
    let mut client = Raw::plain(broker.local_addr());
    client.login("");
    client.until("PING\r\n");
    assert!(json(address, "/connz")["connections"][0].get("rtt").is_none(), "nothing was measured yet");
    client.send("PONG\r\n");
    until("a round trip", || json(address, "/connz?sort=rtt")["connections"][0]["rtt"].is_string());
}

#[test]
fn what_is_no_question_is_refused() {
    let broker = Broker::start(plain_options()).unwrap();
    let monitoring = watched(&broker);
    for (query, words) in [
        ("/connz?subs=x", "subs='x' is neither yes nor no"),
        ("/connz?auth=perhaps", "auth='perhaps'"),
        ("/connz?state=half", "use open, closed or all"),
        ("/connz?sort=stop", "add state=closed"),
        ("/connz?sort=reason&state=all", "add state=closed"),
        ("/connz?sort=size", "use one of"),
        ("/connz?cid=-1", "cid"),
        ("/connz?cid=99999999999999999999999", "cid"),
        ("/connz?limit=many", "limit"),
        ("/connz?offset=9999999999999999999999", "offset"),
        ("/subsz?subs=detail", "subs='detail'"),
        ("/subsz?test=a.*", "no subject"),
        ("/subsz?test=a..b", "no subject"),
        ("/subsz?limit=1&limit=2", "limit"),
    ] {
        let (head, body) = get(monitoring.local_addr(), query);
        assert!(head.starts_with("HTTP/1.1 400"), "{query}: {head}");
        assert!(body.contains(words), "{query}: {body}");
    }
    let page = json(monitoring.local_addr(), "/connz?offset=9223372036854775807&limit=-7");
    assert_eq!((&page["num_connections"], &page["limit"]), (&0.into(), &1024.into()));
}
