//! `wsts config check`: what is wrong, by the name of the key, before anything starts.

use crate::helpers::*;

/// Checks the demo's configuration with a replacement made in it.
#[track_caller]
fn refused(place: &Place, from: &str, to: &str, words: &str) {
    let text = place.read("wsts-data/wsts.toml");
    assert!(text.contains(from), "{text}");
    place.write("altered.toml", &text.replacen(from, to, 1));
    let ended = place.run(&["config", "check", "--config", "altered.toml"]).expect(1);
    assert!(ended.err.contains(words), "{words}: {}", ended.err);
}

#[test]
fn a_good_configuration_is_good() {
    let place = Place::with_demo();
    let ended = place.over_demo(&["config", "check"]).expect(0);
    assert_eq!(ended.out, "wsts-data/wsts.toml: good\n");
}

#[test]
fn what_can_not_be_is_refused_by_name() {
    let place = Place::with_demo();
    refused(&place, "[server]", "[server]\nlisten_on = 1", "listen_on");
    refused(&place, "[ops]", "[opps]\nx = 1\n[ops]", "opps");
    let tokens = |line: &str| format!("[tokens]\n{line}\n[ops]");
    refused(&place, "[ops]", &tokens("default_lifetime_seconds = 60"), "900 to 43200");
    refused(&place, "[ops]", &tokens("default_lifetime_seconds = 43201"), "900 to 43200");
    refused(&place, "[ops]", "[keys]\nwindow_seconds = 3600\n[ops]", "keys.window_seconds must be at least");
    let short = "[keys]\nlead_seconds = 1244\n[ops]";
    refused(
        &place,
        "[ops]",
        short,
        "keys.lead_seconds must be at least 1245, the shortest lead and directory.grace_seconds",
    );
    refused(&place, "[ops]", "[keys]\nlead_seconds = 10\n[ops]", "keys.lead_seconds must be at least");
    refused(&place, "[ops]", "[keys]\njwks_max_age_seconds = 7200\n[ops]", "jwks_max_age_seconds");
    refused(&place, "[ops]", "[keys]\nalgorithm = \"HS256\"\n[ops]", "HS256");
    refused(&place, "issuer = \"https://localhost", "issuer = \"https://localhost/path", "server.issuer");
    refused(&place, "[ops]", "[log]\nlevel = \"wsts=loud\"\n[ops]", "log.level `wsts=loud`");
    refused(
        &place,
        "[ops]",
        "[limits]\nmax_waiting_tokens = 0\n[ops]",
        "limits.max_waiting_tokens must be 1 to 8192",
    );
    refused(
        &place,
        "[ops]",
        "[limits]\nmax_refusals_per_second = 0\n[ops]",
        "limits.max_refusals_per_second must be at least 1",
    );
    for (line, words) in [
        ("max_body_bytes = 100", "limits.max_body_bytes must be 4096 to 1048576"),
        ("max_head_bytes = 1000000", "limits.max_head_bytes must be 4096 to 65536"),
        ("max_uri_bytes = 20000", "limits.max_uri_bytes must be 1024 to 16384"),
        ("head_deadline_seconds = 0", "limits.head_deadline_seconds must be 1 to 60"),
        ("body_deadline_seconds = 61", "limits.body_deadline_seconds must be 1 to 60"),
        ("keep_alive_seconds = 0", "limits.keep_alive_seconds must be 1 to 300"),
        ("tls_handshake_seconds = 0", "limits.tls_handshake_seconds must be 1 to 60"),
        ("max_connections = 0", "limits.max_connections must be 1 to"),
        ("max_failures_per_minute = -1", "max_failures_per_minute"),
    ] {
        refused(&place, "[ops]", &format!("[limits]\n{line}\n[ops]"), words);
    }
    let proxies = "[server]\ntrusted_proxies = [\"10.0.0.1/8\"]";
    refused(&place, "[server]", proxies, "`10.0.0.1/8` is neither an address nor a block");
    refused(&place, "[server]", "[server]\ndrain_seconds = 9999999", "server.drain_seconds");
    refused(&place, "certificate_file = \"", "certificate_file = \"no-", "TLS: ");
    refused(&place, "name = \"local\"", "name = \"two words\"", "two words");
    let region = |name: &str, url: &str| format!("[[regions]]\nname = \"{name}\"\nurl = \"{url}\"\n");
    let west = region("west", "https://west.sts.example");
    let local = region("local", "https://local.sts.example");
    refused(&place, "[ops]", &format!("{west}[ops]"), "the list lacks `local`");
    refused(&place, "[ops]", &format!("{local}{west}{west}[ops]"), "`west` is named twice");
    let slash = region("west", "https://west.sts.example/");
    refused(&place, "[ops]", &format!("{local}{slash}[ops]"), "regions[1].url must be");
    refused(&place, "[ops]", &format!("{local}adress = 1\n[ops]"), "adress");
}

#[test]
fn two_listeners_on_one_address_are_refused() {
    let place = Place::with_demo();
    let (ops, public) = (format!("127.0.0.1:{}", place.ops_port), place.port);
    for listen in [format!("127.0.0.1:{public}"), format!("0.0.0.0:{public}")] {
        refused(&place, &ops, &listen, "ops.listen and server.listen are the same address");
    }
}

#[test]
fn the_ops_listener_is_not_for_others_by_accident() {
    let place = Place::with_demo();
    let (ops, remote) = (format!("127.0.0.1:{}", place.ops_port), format!("0.0.0.0:{}", place.ops_port));
    refused(&place, &ops, &remote, "ops.allow_remote");
    let text = place.read("wsts-data/wsts.toml").replace(&ops, &remote);
    place.write("meant.toml", &text.replace("[ops]", "[ops]\nallow_remote = true"));
    place.run(&["config", "check", "--config", "meant.toml"]).expect(0);
}

#[test]
fn plain_http_is_for_loopback_only() {
    let place = Place::with_demo();
    let text = place.read("wsts-data/wsts.toml");
    let tls = &text[text.find("[server.tls]").unwrap()..text.find("[ops]").unwrap()];
    let plain = text.replace(tls, "");
    place.write("plain.toml", &plain);
    place.run(&["config", "check", "--config", "plain.toml"]).expect(0);
    for listen in ["0.0.0.0", "192.0.2.1"] {
        place.write("plain.toml", &plain.replacen("127.0.0.1", listen, 1));
        let ended = place.run(&["config", "check", "--config", "plain.toml"]).expect(1);
        assert!(ended.err.contains("plain HTTP is served on a loopback address only"), "{}", ended.err);
    }
    // Or behind proxies, which must be named.
    let behind = "[server]\nplain_http_behind_proxies = true\n";
    let open = plain.replacen("127.0.0.1", "0.0.0.0", 1).replacen("[server]", behind, 1);
    place.write("plain.toml", &open);
    let ended = place.run(&["config", "check", "--config", "plain.toml"]).expect(1);
    assert!(ended.err.contains("needs server.trusted_proxies"), "{}", ended.err);
    let named = open.replacen(behind, &format!("{behind}trusted_proxies = [\"192.0.2.1\"]\n"), 1);
    place.write("plain.toml", &named);
    place.run(&["config", "check", "--config", "plain.toml"]).expect(0);
}

#[test]
fn a_missing_file_or_secret_is_named_with_what_to_do() {
    let place = Place::with_demo();
    let ended = place.run(&["config", "check", "--config", "none.toml"]).expect(1);
    assert!(ended.err.contains("none.toml") && ended.err.contains("--config"), "{}", ended.err);
    std::fs::remove_file(place.path("wsts-data/pepper")).unwrap();
    let ended = place.over_demo(&["config", "check"]).expect(1);
    assert!(ended.err.contains("secrets.pepper_file"), "{}", ended.err);
}

#[test]
fn the_environment_goes_over_the_file() {
    let place = Place::with_demo();
    let mut command = place.command(&["config", "check", "--config", "wsts-data/wsts.toml"]);
    let ended: Ended = command.env("WSTS_TOKENS__DEFAULT_LIFETIME_SECONDS", "60").output().unwrap().into();
    assert!(ended.expect(1).err.contains("900 to 43200"));
    let mut command = place.command(&["config", "check", "--config", "wsts-data/wsts.toml"]);
    let ended: Ended = command.env("WSTS_SERVER__LISTNE", "127.0.0.1:1").output().unwrap().into();
    assert!(ended.expect(1).err.to_lowercase().contains("listne"));
}

#[test]
fn a_secret_that_every_user_may_read_is_told_and_not_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = Place::with_demo();
    assert_eq!(place.over_demo(&["config", "check"]).expect(0).err, "");
    for (mode, told) in [(0o444, true), (0o440, false), (0o400, false)] {
        std::fs::set_permissions(place.path("wsts-data/kek"), std::fs::Permissions::from_mode(mode)).unwrap();
        let ended = place.over_demo(&["config", "check"]).expect(0);
        assert_eq!(ended.err.contains("secrets.kek_file: "), told, "{mode:o}: {}", ended.err);
        assert!(!ended.err.contains("pepper"), "{}", ended.err);
    }
}

#[test]
fn a_passphrase_is_no_kek() {
    let place = Place::with_demo();
    place.write("wsts-data/kek", "correct horse battery staple");
    let ended = place.over_demo(&["config", "check"]).expect(1);
    assert!(ended.err.contains("must be exactly 32 random bytes"), "{}", ended.err);
    assert!(!ended.err.contains("horse"), "{}", ended.err);
}
