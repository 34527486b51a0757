//! Lines that a person copies into a POSIX shell, and text that a terminal must not obey.

/// One word for the shell: as it is where that is safe, else in single quotes.
pub fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%,".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    // Nothing is special between single quotes, so one inside ends them, stands escaped, and begins them again.
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// A text as it may stand on a terminal: control characters, which could move the cursor or forge a line, are escaped.
pub fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_comes_back_from_the_shell_as_it_was() {
        for word in ["wsts-data/ca.pem", "", "two words", "it's", "$(id)", "a\"b", "a\nb", "-x", "~", "ü"] {
            let line = format!("printf %s {}", quoted(word));
            let output = std::process::Command::new("sh").args(["-c", &line]).output().expect("a shell");
            assert_eq!(String::from_utf8_lossy(&output.stdout), word, "{line}");
        }
        assert_eq!(quoted("wsts-data/ca.pem"), "wsts-data/ca.pem");
    }

    #[test]
    fn nothing_that_is_printed_moves_the_cursor() {
        assert_eq!(printable("a\u{1b}[2Jb\r\n\u{9b}1m"), r"a\u{1b}[2Jb\r\n\u{9b}1m");
        assert_eq!(printable("Größe `x` \\"), "Größe `x` \\");
    }
}
