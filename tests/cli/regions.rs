//! `wsts regions`: the table and the chart.

use crate::helpers::*;
use crate::token::token;

/// How many tokens the table has for a window, in the row of the one pair of regions.
#[track_caller]
fn tokens(listed: &str, window: &str) -> u64 {
    let row = listed.lines().find(|line| line.contains(&format!(" {window} ")));
    let row = row.unwrap_or_else(|| panic!("no {window} in {listed}"));
    let cells: Vec<_> = row.split('│').map(str::trim).filter(|cell| !cell.is_empty()).collect();
    assert_eq!(cells[..3], ["local", "local", window], "{listed}");
    assert!(cells[4].parse::<f64>().unwrap() > 0.0, "{listed}");
    cells[3].parse().unwrap()
}

#[test]
fn regions_are_listed_and_drawn() {
    let place = Place::with_demo();
    let mut serving = place.serve();
    let secret_file = format!("wsts-data/{READER}.secret");
    let (url, dead) = (place.url(""), format!("http://127.0.0.1:{}", Place::new().port));
    let regions = |more: &[&str]| {
        place.run(&[&["regions", "--url", &dead, "--url", &url, "--ca", "wsts-data/ca.pem"], more].concat())
    };
    let listed = regions(&[]).expect(0).out;
    assert!(listed.contains(&format!("{url} answered in ")) && listed.contains(&dead), "{listed}");
    assert!(listed.contains("serving"), "{listed}");
    // `quickstart` fetched some as well.
    let before = tokens(&listed, "24h");
    token(&place, &["--client-id", READER, "--client-secret-file", &secret_file]).expect(0);
    // A stop writes what was measured.
    serving.terminate();
    assert_eq!(serving.wait(), Some(0));
    let _serving = place.serve();
    let listed = regions(&[]).expect(0).out;
    for window in ["5m", "1h", "24h"] {
        assert_eq!(tokens(&listed, window), before + 1, "{listed}");
    }
    let drawn = regions(&["--plot", "--window", "24h"]).expect(0).out;
    let title = format!("local for local: {} tokens", before + 1);
    assert!(drawn.contains(&title) && drawn.contains("p99  █"), "{drawn}");
    let none = place.run(&["regions", "--url", &dead]).expect(1);
    assert!(none.err.contains("no region answered"), "{}", none.err);
}
