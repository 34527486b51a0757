//! Bars on a terminal, in eighths of a character.

/// Bars that belong together, with what they are of.
pub struct Bars {
    pub title: String,
    pub bars: Vec<(&'static str, f64)>,
}

/// One eighth to seven eighths of a cell.
const PARTS: [char; 7] = ['▏', '▎', '▍', '▌', '▋', '▊', '▉'];
/// Beside a bar: its indent, its name and its value.
const BESIDE: usize = 20;
const NARROWEST: usize = 10;

/// All groups on one linear scale, so that bars of different ones compare; the longest one fills the width.
pub fn chart(groups: &[Bars], columns: usize) -> String {
    let width = columns.saturating_sub(BESIDE).max(NARROWEST);
    let longest = groups.iter().flat_map(|group| &group.bars).map(|(_, value)| *value).fold(0.0, f64::max);
    let mut text = String::new();
    for group in groups {
        text += &format!("{}\n", group.title);
        for (name, value) in &group.bars {
            let share = if longest > 0.0 { (value / longest).clamp(0.0, 1.0) } else { 0.0 };
            // Eighths, at least one: there is a value. At most eight times the width, so the cast can't wrap.
            let eighths = ((share * (width * 8) as f64).round() as usize).max(1);
            let mut bar = "█".repeat(eighths / 8);
            bar.extend((eighths % 8).checked_sub(1).and_then(|part| PARTS.get(part)));
            text += &format!("  {name:<4} {bar} {value:.2}\n");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_to_scale_and_fit_the_terminal() {
        let bars = |title: &str, bars| Bars { title: title.to_owned(), bars };
        let drawn = chart(
            &[
                bars("west for west", vec![("p50", 1.0), ("p99", 8.0)]),
                bars("north for west", vec![("p50", 16.0)]),
            ],
            36,
        );
        let expected = "west for west\n  p50  █ 1.00\n  p99  ████████ 8.00\nnorth for west\n  p50  ████████████████ 16.00\n";
        assert_eq!(drawn, expected);
        assert!(chart(&[bars("x", vec![("p50", 0.01), ("p99", 1.0)])], 0).contains("p50  ▏ 0.01"));
        assert!(chart(&[bars("x", vec![("p50", 0.0)])], 40).contains("▏ 0.00"));
    }
}
