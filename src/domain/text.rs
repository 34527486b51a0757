//! What a name and a description may be, wherever they come from: they stand in audit rows, tables and answers.

/// A text that is no lawful one; the words name the rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotLawful(&'static str);

const MAX_NAME_BYTES: usize = 128;
const MAX_DESCRIPTION_BYTES: usize = 4096;

/// A name: of a tenant, subscription, principal, role or tag.
pub fn check_name(text: &str) -> Result<(), NotLawful> {
    let lawful = (1..=MAX_NAME_BYTES).contains(&text.len()) && !text.chars().any(char::is_control);
    if lawful { Ok(()) } else { Err(NotLawful("1 to 128 bytes without control characters")) }
}

/// A description, or the value of a tag: may be empty and have several lines.
pub fn check_description(text: &str) -> Result<(), NotLawful> {
    let is_lawful = |c: char| !c.is_control() || matches!(c, '\n' | '\r' | '\t');
    if text.len() <= MAX_DESCRIPTION_BYTES && text.chars().all(is_lawful) {
        Ok(())
    } else {
        Err(NotLawful("at most 4096 bytes without control characters other than tabs and line ends"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_descriptions_are_bounded_and_hold_no_control_characters() {
        for name in ["a", "Größe 9", &"n".repeat(128)] {
            assert_eq!(check_name(name), Ok(()));
        }
        for name in ["", "a\nb", "\u{1b}[2J", "a\u{9b}1m", "\0", &"n".repeat(129)] {
            assert!(check_name(name).is_err(), "{name:?}");
        }
        for text in ["", "two\r\n\tlines", &"d".repeat(4096)] {
            assert_eq!(check_description(text), Ok(()));
        }
        for text in ["a\0b", "\u{1b}[2J", &"d".repeat(4097)] {
            assert!(check_description(text).is_err(), "{text:?}");
        }
    }
}
