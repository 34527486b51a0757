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
}
